#include "trainer/evaluate/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool eval_has_norm(enum evaluate_form form) { return form <= FORM_PIQA; }

void eval_metric_put(struct eval_metrics *m, const char *name, double value, bool higher_is_better)
{
    size_t n = strlen(name), tail = strlen("_stderr");
    bool is_stderr = n > tail && !strcmp(name + n - tail, "_stderr");
    if (m->n < EVAL_MAX_METRICS)
        m->at[m->n++] = (struct eval_metric){ name, value, higher_is_better, is_stderr };
}

void eval_metrics_emit(const struct eval_metrics *m, const char *suffix, struct emit *e)
{
    char name[64];
    emit_begin(e, '{');
    for (int i = 0; i < m->n; i++) {
        snprintf(name, sizeof name, "%s%s", m->at[i].name, suffix);
        emit_kv_double(e, name, m->at[i].value);
    }
    emit_end(e);
}

/* ---- items ----------------------------------------------------------------------------------- */

static void answer_item(struct eval_answer *a, const struct eval_item *item,
                        const struct eval_score *score)
{
    double best = -INFINITY, best_norm = -INFINITY;
    a->greedy = true;
    for (int i = 0; i < a->n; i++) {
        double ll = score[i].log_likelihood;
        a->log_likelihood += ll;
        a->greedy = a->greedy && score[i].greedy;
        if (i >= item->n_choices) continue; /* windows of a text */
        double norm = ll / (double)item->choice[i].letters;
        if (ll > best) best = ll, a->pick = i;
        if (norm > best_norm) best_norm = norm, a->norm = i;
    }
}

void eval_answers(struct eval_answer *answer, const struct eval_items *items,
                  const struct eval_requests *r, const struct eval_score *score)
{
    for (int i = 0, at = 0; i < items->n; i++) {
        answer[i] = (struct eval_answer){ .first = at };
        while (at < r->n && r->request[at].item == i) at++;
        answer[i].n = at - answer[i].first;
        answer_item(&answer[i], &items->item[i], score + answer[i].first);
    }
}

/* ---- tasks ----------------------------------------------------------------------------------- */

struct mean {
    double value, stderr_;
};

/* Of n values that at(i) gives. */
static struct mean mean_of(int n, double (*at)(const void *user, int i), const void *user)
{
    double sum = 0, square = 0;
    for (int i = 0; i < n; i++) sum += at(user, i);
    double mean = sum / n;
    for (int i = 0; i < n; i++) square += pow(at(user, i) - mean, 2);
    return (struct mean){ mean, n > 1 ? sqrt(square / (n - 1)) / sqrt(n) : NAN };
}

struct task {
    const struct eval_items *items;
    const struct eval_requests *r;
    const struct eval_answer *answer;
};

static double right(const void *user, int i)
{
    const struct task *t = user;
    return t->answer[i].pick == t->items->item[i].gold;
}

static double right_norm(const void *user, int i)
{
    const struct task *t = user;
    return t->answer[i].norm == t->items->item[i].gold;
}

static double greedy(const void *user, int i) { return ((const struct task *)user)->answer[i].greedy; }

static double likelihood(const void *user, int i)
{
    return ((const struct task *)user)->answer[i].log_likelihood;
}

static void put_mean(struct eval_metrics *m, const char *name, const char *stderr_name,
                     struct mean mean)
{
    eval_metric_put(m, name, mean.value, true);
    eval_metric_put(m, stderr_name, mean.stderr_, true);
}

static void measure_lambada(struct eval_metrics *m, const struct task *t)
{
    struct mean ll = mean_of(t->items->n, likelihood, t);
    put_mean(m, "acc", "acc_stderr", mean_of(t->items->n, greedy, t));
    eval_metric_put(m, "perplexity", exp(-ll.value), false);
    eval_metric_put(m, "perplexity_stderr", exp(-ll.value) * ll.stderr_, false);
}

static void measure_text(struct eval_metrics *m, const struct task *t)
{
    double ll = 0, words = 0, bytes = 0, tokens = 0, per_token = 0;
    int documents = 0;
    for (int i = 0; i < t->items->n; i++) {
        struct text text = t->items->item[i].choice[0].continuation;
        ll += t->answer[i].log_likelihood;
        words += (double)text_words(text);
        bytes += (double)text.len;
        tokens += (double)t->r->tokens[i];
        if (!t->r->tokens[i]) continue;
        per_token += t->answer[i].log_likelihood / (double)t->r->tokens[i];
        documents++;
    }
    eval_metric_put(m, "word_perplexity", exp(-ll / words), false);
    eval_metric_put(m, "byte_perplexity", exp(-ll / bytes), false);
    eval_metric_put(m, "bits_per_byte", -ll / bytes / log(2), false);
    eval_metric_put(m, "token_perplexity", exp(-ll / tokens), false);
    eval_metric_put(m, "document_perplexity", exp(-per_token / documents), false);
}

void eval_metrics_of(struct eval_metrics *m, const struct eval_items *items,
                     const struct eval_requests *r, const struct eval_answer *answer)
{
    struct task t = { items, r, answer };
    *m = (struct eval_metrics){ 0 };
    if (items->form == FORM_TEXT) {
        measure_text(m, &t);
    } else if (items->form == FORM_LAMBADA) {
        measure_lambada(m, &t);
    } else {
        put_mean(m, "acc", "acc_stderr", mean_of(items->n, right, &t));
        if (eval_has_norm(items->form))
            put_mean(m, "acc_norm", "acc_norm_stderr", mean_of(items->n, right_norm, &t));
    }
}
