#include "server/api/report.h"

#include <string.h>
#include "server/api/ask.h"

/* One row per arm, then one per difference, told apart by the first column. */
static const char select_report[] =
    "with c as (select c.*, a.ratio, a.params as size, a.search_id, a.step as at_step, "
    "coalesce(s.name, a.name) as "
    "search"
    "   from comparison c join architecture a using (architecture_id)"
    "   left join search s using (search_id)"
    "   where c.comparison_id = $1)"
    " select 'head', name, state::text, 'arch_' || architecture_id, coalesce('srch_' || search_id "
    "|| ' ', '') || '(' "
    "|| search || ')',"
    "   round(100 * ratio::numeric, 1)::text, size::text, budget_rule, budget_tokens::text,"
    "   (spec -> 'recipe')::text from c"
    " union all (select 'arm', m.arm, m.seed::text, 'run_' || r.run_id, j.state::text, "
    "r.params::text,"
    "   j.tokens::text, round(j.loss::numeric, 4)::text, round(j.validation_loss::numeric, "
    "4)::text, null"
    "   from c join comparison_arm m using (comparison_id) join run r using (run_id) join job j "
    "using (job_id)"
    "   order by array_position('{inherit,reinit,human}', m.arm), m.seed)"
    " union all (select 'mean', m.arm, count(j.validation_loss)::text, "
    "round(avg(j.validation_loss)::numeric, 4)::text,"
    "   round(stddev_samp(j.validation_loss)::numeric, 4)::text, null, null, null, null, null"
    "   from c join comparison_arm m using (comparison_id) join run r using (run_id) join job j "
    "using (job_id)"
    "   where j.state = 'succeeded' group by m.arm order by "
    "array_position('{inherit,reinit,human}', m.arm))"
    " union all (select 'diff', d ->> 'a', d ->> 'b', round((d ->> 'mean')::numeric, 4)::text,"
    "   round((d #>> '{ci95,0}')::numeric, 4)::text, round((d #>> '{ci95,1}')::numeric, 4)::text,"
    "   jsonb_array_length(d -> 'per_seed')::text, d #>> '{crossover,lower}',"
    "   d #>> '{crossover,tokens}', null"
    "   from c, jsonb_array_elements(comparison_differences(c.comparison_id)) d)";

enum { REPORT_BYTES = 1024 * 1024 };

static bool is(const PGresult *rows, int i, const char *kind)
{
    return !strcmp(pg_text(rows, i, 0), kind);
}

static void put_head(struct buf *out, const PGresult *rows, int i)
{
    buf_printf(out, "# %s\n\n", pg_text(rows, i, 1));
    buf_printf(out, "State: %s. ", pg_text(rows, i, 2));
    buf_printf(out, "%s of %s, %s %% of its parameters removed, %s left. ", pg_text(rows, i, 3),
               pg_text(rows, i, 4), pg_text(rows, i, 5), pg_text(rows, i, 6));
    bool matched = !strcmp(pg_text(rows, i, 7), "train_matched");
    buf_printf(out, "%s tokens for every arm%s.\n", pg_text(rows, i, 8),
               matched ? "" : "; those that start afresh get on top what the search had spent");
}

static void put_arms(struct buf *out, const PGresult *rows)
{
    buf_puts(out, "\n## Arms\n\n| arm | seed | run | state | parameters | tokens | training loss | "
                  "validation loss |\n"
                  "|---|--:|---|---|--:|--:|--:|--:|\n");
    for (int i = 0; i < PQntuples(rows); i++) {
        if (!is(rows, i, "arm")) continue;
        buf_putc(out, '|');
        for (int column = 1; column <= 8; column++)
            buf_printf(out, " %s |", pg_text_or(rows, i, column, "-"));
        buf_putc(out, '\n');
    }
}

static void put_means(struct buf *out, const PGresult *rows)
{
    buf_puts(out, "\n## Validation loss by arm\n\n| arm | seeds | mean | standard deviation "
                  "|\n|---|--:|--:|--:|\n");
    for (int i = 0; i < PQntuples(rows); i++)
        if (is(rows, i, "mean"))
            buf_printf(out, "| %s | %s | %s | %s |\n", pg_text(rows, i, 1), pg_text(rows, i, 2),
                       pg_text_or(rows, i, 3, "-"), pg_text_or(rows, i, 4, "-"));
}

static void put_difference(struct buf *out, const PGresult *rows, int i)
{
    double mean = pg_double(rows, i, 3), low = pg_double(rows, i, 4), high = pg_double(rows, i, 5);
    const char *a = pg_text(rows, i, 1), *b = pg_text(rows, i, 2);
    buf_printf(out, "- %s - %s: %+.4f over %s seed%s", a, b, mean, pg_text(rows, i, 6),
               strcmp(pg_text(rows, i, 6), "1") ? "s" : "");
    if (pg_null(rows, i, 4))
        buf_puts(out, "; one seed says little, and no interval can be given.\n");
    else if (low <= 0 && high >= 0)
        buf_printf(out, ", 95 %% interval %+.4f to %+.4f: no measurable difference.\n", low, high);
    else
        buf_printf(out, ", 95 %% interval %+.4f to %+.4f: %s is lower.\n", low, high,
                   mean < 0 ? a : b);
}

/* From which budget on the lower arm stays lower, for those who can train only so long. */
static void put_crossover(struct buf *out, const PGresult *rows, int i)
{
    if (pg_null(rows, i, 7) || pg_null(rows, i, 8)) return;
    buf_printf(out, "  %s stays lower from %s tokens on.\n", pg_text(rows, i, 7),
               pg_text(rows, i, 8));
}

static void got(struct ask *ask, const PGresult *rows)
{
    struct buf out;
    if (!PQntuples(rows)) {
        reply_missing(ask->req, ask->what, ask->id);
        return;
    }
    buf_init(&out, REPORT_BYTES);
    put_head(&out, rows, 0);
    put_arms(&out, rows);
    put_means(&out, rows);
    buf_puts(&out, "\n## Paired differences of validation loss, in nats a token\n\n");
    int shown = 0;
    for (int i = 0; i < PQntuples(rows); i++)
        if (is(rows, i, "diff"))
            put_difference(&out, rows, i), put_crossover(&out, rows, i), shown++;
    if (!shown) buf_puts(&out, "None yet.\n");
    buf_printf(
        &out,
        "\nThe intervals are Student's, of the mean of seed-by-seed differences.\n\n## Recipe\n\n"
        "```json\n%s\n```\n",
        pg_text(rows, 0, 9));
    if (out.failed)
        reply_problem(ask->req, 500, "internal", "the report is too large");
    else
        reply_bytes(ask->req, 200, "text/markdown; charset=utf-8", out.bytes, out.len);
    buf_release(&out);
}

void comparison_report(struct request *req)
{
    struct ask *ask = ask_new(req, select_report, got);
    ask_id(ask, "cmp", "comparison", request_param(req, "id"));
    ask_send(ask);
}
