#include "clients/cli/arms.h"

#include <math.h>
#include <string.h>
#include "clients/cli/look.h"
#include "clients/cli/table.h"
#include "clients/cli/text.h"

/* Tokens an arm is to see; arms may have budgets of their own. */
static double planned(json_t *comparison, json_t *arm)
{
    double own = look_number(arm, "tokens_planned");
    return isnan(own) ? look_number(comparison, "budget.tokens") : own;
}

static void put_arm(json_t *comparison, json_t *arm, int width, bool utf8, struct buf *out)
{
    char bar[3 * 64], a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX];
    double share = look_number(arm, "tokens") / planned(comparison, arm);
    if (!strcmp(look_string(arm, "state", ""), "succeeded")) share = 1;
    buf_printf(out, "  %-8s seed %-3lld %s %6s  %-9s loss %s  validation %s\n",
               look_string(arm, "arm", "?"), (long long)look_int(arm, "seed", 0),
               text_bar(bar, width, share, utf8), text_percent(a, share),
               look_string(arm, "state", ""), text_number(b, look_number(arm, "loss"), 4),
               text_number(c, look_number(arm, "validation_loss"), 4));
}

void arms_block(json_t *comparison, int columns, bool utf8, struct buf *out)
{
    int width = columns - 70 < 8 ? 8 : columns - 70 > 40 ? 40 : columns - 70;
    json_t *arm;
    size_t i;
    buf_printf(out, "%s %s  %s\n", look_string(comparison, "id", ""),
               look_string(comparison, "name", ""), look_string(comparison, "state", ""));
    json_array_foreach(look_at(comparison, "arms"), i, arm)
        put_arm(comparison, arm, width, utf8, out);
}

void arms_line(json_t *comparison, struct buf *out)
{
    char t[TEXT_MAX];
    json_t *arm;
    size_t i;
    json_array_foreach(look_at(comparison, "arms"), i, arm)
    {
        bool over = !strcmp(look_string(arm, "state", ""), "succeeded");
        double share = look_number(arm, "tokens") / planned(comparison, arm);
        buf_printf(out, "  %s/%lld %s", look_string(arm, "arm", "?"),
                   (long long)look_int(arm, "seed", 0), text_percent(t, over ? 1 : share));
    }
}

static void print_arms(json_t *comparison, FILE *out)
{
    static const char *const headings[] = { "arm",    "seed",           "run", "state", "params",
                                            "tokens", "validation loss" };
    char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX];
    struct table table;
    json_t *arm;
    size_t i;
    table_init(&table);
    for (int h = 0; h < 7; h++)
        table_column(&table, headings[h], h == 1 || h > 3 ? TABLE_RIGHT : TABLE_LEFT);
    json_array_foreach(look_at(comparison, "arms"), i, arm)
    {
        table_cell(&table, "%s", look_string(arm, "arm", "?"));
        table_cell(&table, "%lld", (long long)look_int(arm, "seed", 0));
        table_cell(&table, "%s", look_string(arm, "run", "-"));
        table_cell(&table, "%s", look_string(arm, "state", "-"));
        table_cell(&table, "%s", text_number(a, look_number(arm, "params"), 0));
        table_cell(&table, "%s", text_number(b, look_number(arm, "tokens"), 0));
        table_cell(&table, "%s", text_number(c, look_number(arm, "validation_loss"), 4));
    }
    table_print(&table, out);
    table_release(&table);
}

static void print_difference(json_t *d, FILE *out)
{
    const char *a = look_string(d, "a", "?"), *b = look_string(d, "b", "?");
    double mean = look_number(d, "mean");
    size_t n = json_array_size(look_at(d, "per_seed"));
    json_t *ci = look_at(d, "ci95");
    if (isnan(mean)) return;
    fprintf(out, "%s - %s: %+.4f nats a token (%s is lower)", a, b, mean, mean < 0 ? a : b);
    if (json_array_size(ci) == 2) {
        double low = json_number_value(json_array_get(ci, 0)),
               high = json_number_value(json_array_get(ci, 1));
        fprintf(out, ", %zu seeds, 95 %% interval %+.4f to %+.4f%s\n", n, low, high,
                low <= 0 && high >= 0 ? ": no measurable difference" : "");
    } else {
        fprintf(out, ", %zu seed%s: no interval\n", n, n == 1 ? "" : "s");
    }
    json_t *crossover = look_at(d, "crossover");
    const char *lower = look_string(crossover, "lower", NULL);
    if (lower && json_is_integer(look_at(crossover, "tokens")))
        fprintf(out, "    %s stays lower from %.0f tokens on\n", lower,
                look_number(crossover, "tokens"));
}

void arms_print(json_t *comparison, FILE *out)
{
    json_t *d = NULL;
    size_t i;
    fprintf(out, "%s of %s: %s\n\n", look_string(comparison, "id", ""),
            look_string(comparison, "architecture", "?"), look_string(comparison, "state", ""));
    print_arms(comparison, out);
    fputc('\n', out);
    json_t *differences = look_at(comparison, "differences");
    json_array_foreach(differences, i, d) print_difference(d, out);
    d = json_array_get(differences, 0);
    if (d && json_array_size(look_at(d, "per_seed")) == 1)
        fprintf(out, "One seed says little: another seed may move these numbers as much. "
                     "--seeds 1,2,3 tells.\n");
}
