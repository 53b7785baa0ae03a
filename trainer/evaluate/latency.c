#include "trainer/evaluate/latency.h"

#include <stdlib.h>
#include "search/base/clock.h"
#include "search/base/rng.h"
#include "search/base/sample.h"
#include "trainer/stop.h"

struct round {
    struct packed *packed;
    const struct latency_plan *plan;
    int vocab_size;
    int32_t *prompt, next;
};

struct times {
    double first, each; /* milliseconds */
};

static double now_ms(void) { return 1e3 * clock_seconds(); }

static void take_likeliest(void *user, int first, int n, const float *logits)
{
    struct round *r = user;
    (void)first, (void)n;
    int best = 0;
    for (int i = 1; i < r->vocab_size; i++)
        if (logits[i] > logits[best]) best = i;
    r->next = best;
}

static struct times run_round(struct round *r)
{
    int n = r->plan->prompt_tokens, last = n - 1, only = 0;
    struct packed_piece prompt = { .rows = n };
    double start = now_ms();
    packed_run(r->packed, r->prompt, &prompt, 1);
    packed_logits(r->packed, &last, 1, take_likeliest, r);
    double first = now_ms();
    for (int i = 0; i < r->plan->generate_tokens; i++, n++) {
        struct packed_piece step = { .rows = 1, .position = n, .past = n, .own_at = n };
        packed_run(r->packed, &r->next, &step, 1);
        packed_logits(r->packed, &only, 1, take_likeliest, r);
    }
    return (struct times){ first - start, (now_ms() - first) / r->plan->generate_tokens };
}

/* Least, median and most of n values, which are sorted. */
struct spread {
    double min, median, max;
};

static struct spread spread_of(double *x, int n)
{
    double median = sample_median(x, n);
    return (struct spread){ x[0], median, x[n - 1] };
}

static void put_times(struct eval_metrics *m, struct spread s, const char *const names[3])
{
    eval_metric_put(m, names[0], s.median, false);
    eval_metric_put(m, names[1], s.min, false);
    eval_metric_put(m, names[2], s.max, false);
}

/* What takes `s` milliseconds as a rate of `tokens` of them. */
static void put_rates(struct eval_metrics *m, struct spread s, double tokens,
                      const char *const names[3])
{
    eval_metric_put(m, names[0], tokens * 1e3 / s.median, true);
    eval_metric_put(m, names[1], tokens * 1e3 / s.max, true);
    eval_metric_put(m, names[2], tokens * 1e3 / s.min, true);
}

static void report(struct eval_metrics *m, const struct latency_plan *plan, double *first,
                   double *each, int threads)
{
    static const char *const names[4][3] = {
        { "prefill_tokens_per_second", "prefill_tokens_per_second_min",
          "prefill_tokens_per_second_max" },
        { "decode_tokens_per_second", "decode_tokens_per_second_min",
          "decode_tokens_per_second_max" },
        { "ms_per_token", "ms_per_token_min", "ms_per_token_max" },
        { "time_to_first_token_ms", "time_to_first_token_ms_min", "time_to_first_token_ms_max" },
    };
    struct spread reading = spread_of(first, plan->repeats),
                  writing = spread_of(each, plan->repeats);
    put_rates(m, reading, plan->prompt_tokens, names[0]);
    put_rates(m, writing, 1, names[1]);
    put_times(m, writing, names[2]);
    put_times(m, reading, names[3]);
    eval_metric_put(m, "prompt_tokens", plan->prompt_tokens, false);
    eval_metric_put(m, "generate_tokens", plan->generate_tokens, false);
    eval_metric_put(m, "repeats", plan->repeats, false);
    eval_metric_put(m, "threads", threads, false);
}

enum status latency_measure(struct eval_metrics *m, struct model *model, struct packed *packed,
                            const struct latency_plan *plan, struct error *err)
{
    struct round r = { .packed = packed,
                       .plan = plan,
                       .vocab_size = model_shape(model)->vocab_size };
    double *first = calloc((size_t)plan->repeats, sizeof *first);
    double *each = calloc((size_t)plan->repeats, sizeof *each);
    r.prompt = calloc((size_t)plan->prompt_tokens, sizeof *r.prompt);
    if (!first || !each || !r.prompt) abort();
    struct rng rng;
    rng_init(&rng, plan->seed);
    for (int i = 0; i < plan->prompt_tokens; i++)
        r.prompt[i] = (int32_t)rng_below(&rng, (uint64_t)r.vocab_size);
    for (int i = -1; i < plan->repeats && !err->status; i++) {
        struct times t = run_round(&r);
        if (i >= 0) first[i] = t.first, each[i] = t.each;
        if (stop_wanted()) fail(err, E_CANCELLED, "stopped while measuring");
    }
    if (!err->status) report(m, plan, first, each, model->be->threads);
    free(first);
    free(each);
    free(r.prompt);
    return err->status;
}
