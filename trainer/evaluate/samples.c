#include <stdio.h>
#include <string.h>

#include "trainer/evaluate/report.h"

/* samples_<task>.jsonl */

enum { MAX_SAMPLE = 256 << 20 };

struct samples {
    const struct eval_items *items;
    const struct eval_requests *r;
    const struct eval_score *score;
    struct emit e;
};

static void emit_text(struct emit *e, const char *key, struct text t)
{
    emit_key(e, key);
    emit_string_n(e, t.at ? t.at : "", t.len);
}

static void emit_hash(struct emit *e, const char *key, struct text t)
{
    char hash[HASH_HEX];
    hash_hex(t.at ? t.at : "", t.len, hash);
    emit_kv_string(e, key, hash);
}

static void emit_arguments(struct samples *s, const struct eval_item *item)
{
    char name[32];
    bool rolling = s->items->form == FORM_TEXT;
    emit_key(&s->e, "arguments");
    emit_begin(&s->e, '{');
    for (int i = 0; i < item->n_choices; i++) {
        snprintf(name, sizeof name, "gen_args_%d", i);
        emit_key(&s->e, name);
        emit_begin(&s->e, '{');
        if (!rolling) emit_text(&s->e, "arg_0", item->choice[i].context);
        emit_text(&s->e, rolling ? "arg_0" : "arg_1", item->choice[i].continuation);
        emit_end(&s->e);
    }
    emit_end(&s->e);
}

/* As the harness writes them: numbers and truth as Python's text. */
static void emit_answer(struct samples *s, const struct eval_score *score)
{
    char text[48];
    emit_number_text(text, score->log_likelihood);
    emit_begin(&s->e, '[');
    emit_string(&s->e, text);
    emit_string(&s->e, score->greedy ? "True" : "False");
    emit_end(&s->e);
}

static void emit_answers(struct samples *s, const struct eval_item *item,
                         const struct eval_answer *a)
{
    bool rolling = s->items->form == FORM_TEXT;
    for (int filtered = 0; filtered < 2; filtered++) {
        emit_key(&s->e, filtered ? "filtered_resps" : "resps");
        emit_begin(&s->e, '[');
        for (int i = 0; i < item->n_choices; i++) {
            if (!filtered) emit_begin(&s->e, '[');
            if (rolling)
                emit_double(&s->e, a->log_likelihood);
            else
                emit_answer(s, &s->score[a->first + i]);
            if (!filtered) emit_end(&s->e);
        }
        emit_end(&s->e);
    }
}

static void emit_weighted(struct emit *e, const char *key, double value, double weight)
{
    emit_key(e, key);
    emit_begin(e, '[');
    emit_double(e, value);
    emit_double(e, weight);
    emit_end(e);
}

static void emit_metrics(struct samples *s, int i, const struct eval_answer *a)
{
    const struct eval_item *item = &s->items->item[i];
    struct text text = item->choice[0].continuation;
    struct emit *e = &s->e;
    if (s->items->form == FORM_TEXT) {
        emit_weighted(e, "word_perplexity", a->log_likelihood, (double)text_words(text));
        emit_weighted(e, "byte_perplexity", a->log_likelihood, (double)text.len);
        emit_weighted(e, "bits_per_byte", a->log_likelihood, (double)text.len);
        emit_weighted(e, "token_perplexity", a->log_likelihood, (double)s->r->tokens[i]);
    } else if (s->items->form == FORM_LAMBADA) {
        emit_kv_double(e, "perplexity", a->log_likelihood);
        emit_kv_double(e, "acc", a->greedy);
    } else {
        emit_kv_double(e, "acc", a->pick == item->gold);
        if (eval_has_norm(s->items->form)) emit_kv_double(e, "acc_norm", a->norm == item->gold);
    }
}

static void emit_sample(struct samples *s, int i, const struct eval_answer *a)
{
    const struct eval_item *item = &s->items->item[i];
    bool choices = s->items->form < FORM_LAMBADA;
    struct emit *e = &s->e;
    emit_begin(e, '{');
    emit_kv_int(e, "doc_id", i);
    emit_key(e, "doc");
    emit_raw(e, item->doc.at, item->doc.len);
    if (choices)
        emit_kv_int(e, "target", item->gold);
    else
        emit_text(e, "target", item->choice[0].continuation);
    emit_arguments(s, item);
    emit_answers(s, item, a);
    emit_kv_string(e, "filter", "none");
    emit_hash(e, "doc_hash", item->doc);
    emit_hash(e, "prompt_hash", item->choice[0].context);
    emit_hash(e, "target_hash", item->choice[choices ? item->gold : 0].continuation);
    emit_metrics(s, i, a);
    emit_end(e);
}

enum status eval_samples_write(const char *dir, const char *task, const struct eval_items *items,
                               const struct eval_requests *r, const struct eval_score *score,
                               const struct eval_answer *answer, struct error *err)
{
    char path[PATH_ROOM], name[EVALUATE_TASK_NAME + 32];
    struct file_out *out;
    struct buf line;
    struct samples s = { .items = items, .r = r, .score = score };
    snprintf(name, sizeof name, "samples_%s.jsonl", task);
    TRY(path_join(path, dir, name, err));
    TRY(file_create(&out, path, err));
    buf_init(&line, MAX_SAMPLE);
    for (int i = 0; i < items->n && !line.failed; i++) {
        buf_clear(&line);
        emit_init(&s.e, &line);
        emit_sample(&s, i, &answer[i]);
        buf_putc(&line, '\n');
        file_put(out, line.bytes, line.len);
    }
    if (line.failed) fail(err, E_LIMIT, "%s: a sample has more than %d bytes", name, MAX_SAMPLE);
    buf_release(&line);
    struct error *at = err, ignored = { 0 };
    if (err->status) at = &ignored;
    file_close(out, NULL, at);
    return err->status;
}
