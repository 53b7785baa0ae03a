#include "trainer/parity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/base/rng.h"
#include "trainer/backend.h"
#include "trainer/model_folder.h"

struct parity {
    struct backend *be;
    int vocab_size, n_prompts;
    int32_t ids[PARITY_PROMPTS][PARITY_TOKENS];
    int n[PARITY_PROMPTS];
    float *logits; /* (positions of all prompts, vocab_size) */
};

/* ---- prompts -------------------------------------------------------------------------------- */

static void draw_ids(struct parity *p, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    for (p->n_prompts = 0; p->n_prompts < 4; p->n_prompts++) {
        p->n[p->n_prompts] = PARITY_TOKENS / 2;
        for (int i = 0; i < PARITY_TOKENS / 2; i++)
            p->ids[p->n_prompts][i] = (int32_t)rng_below(&rng, (uint64_t)p->vocab_size);
    }
}

static enum status add_prompt(struct parity *p, struct tokenizer *t, const char *text,
                              struct error *err)
{
    struct ids ids = { 0 };
    if (p->n_prompts == PARITY_PROMPTS || t->encode(t, text, strlen(text), &ids, err)) {
        ids_release(&ids);
        return err->status;
    }
    int n = 0;
    for (; n < PARITY_TOKENS && (size_t)n < ids.n && ids.id[n] < p->vocab_size; n++)
        p->ids[p->n_prompts][n] = ids.id[n];
    p->n[p->n_prompts] = n;
    p->n_prompts += n > 0;
    ids_release(&ids);
    return OK;
}

static enum status choose(struct parity *p, char *const *prompts, int n, struct tokenizer *t,
                          uint64_t seed, struct error *err)
{
    static const char *const usual[] = {
        "The capital of France is", "Question: What do plants take in from the air?\nAnswer:",
        "Once upon a time, in a village by the sea, there lived an old woman who",
        "In 1905 three papers changed physics: 1, 2 and 3. They said that light"
    };
    if (!t) {
        draw_ids(p, seed);
        return OK;
    }
    for (int i = 0; i < (n ? n : 4); i++) TRY(add_prompt(p, t, n ? prompts[i] : usual[i], err));
    return p->n_prompts ? OK
                        : fail(err, E_INPUT, "prompts: none of them has a token of this model");
}

/* ---- logits -------------------------------------------------------------------------------- */

static int positions(const struct parity *p)
{
    int n = 0;
    for (int i = 0; i < p->n_prompts; i++) n += p->n[i];
    return n;
}

static void run(struct parity *p, struct model *model, float *to)
{
    int32_t none[PARITY_TOKENS];
    memset(none, -1, sizeof none);
    for (int i = 0; i < p->n_prompts; i++) {
        struct model_batch batch = { p->ids[i], none, 1, p->n[i] };
        model_logits(model, &batch, to);
        to += (size_t)p->n[i] * (size_t)p->vocab_size;
    }
}

/* The logits of these weights on all prompts; the caller frees. */
static enum status logits_of(struct parity *p, struct weights *w, float **out, struct error *err)
{
    struct model *model = NULL;
    struct model_options options = { .batch_size = 1, .sequence_length = PARITY_TOKENS };
    size_t n = (size_t)positions(p) * (size_t)p->vocab_size;
    *out = NULL;
    if (!model_open(&model, p->be, &w->shape, &w->shape, &options, err) &&
        !model_folder_read(model, w, err)) {
        *out = malloc(n * sizeof **out);
        if (!*out)
            fail(err, E_MEMORY, "no memory for %zu MiB of logits", n * sizeof **out >> 20);
        else
            run(p, model, *out);
    }
    model_close(model);
    return err->status;
}

enum status parity_open(struct parity **out, struct weights *w, const char *backend, int threads,
                        char *const *prompts, int n_prompts, struct tokenizer *tokenizer,
                        uint64_t seed, struct error *err)
{
    struct parity *p = calloc(1, sizeof *p);
    if (!p) abort();
    *out = NULL;
    p->vocab_size = w->shape.vocab_size;
    if (!backend_open(&p->be, backend, threads, err) &&
        !choose(p, prompts, n_prompts, tokenizer, seed, err) && !logits_of(p, w, &p->logits, err))
        *out = p;
    else
        parity_close(p);
    return err->status;
}

void parity_close(struct parity *p)
{
    if (!p) return;
    backend_close(p->be);
    free(p->logits);
    free(p);
}

/* ---- comparing ----------------------------------------------------------------------------- */

static double log_sum(const float *x, int n)
{
    double most = x[0], sum = 0;
    for (int i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
    for (int i = 0; i < n; i++) sum += exp(x[i] - most);
    return most + log(sum);
}

static int argmax(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static void add_position(struct parity_report *r, const float *ours, const float *theirs, int n)
{
    double a = log_sum(ours, n), b = log_sum(theirs, n), kl = 0;
    for (int i = 0; i < n; i++) {
        double difference = fabs((double)ours[i] - (double)theirs[i]), p = ours[i] - a;
        if (!(difference <= r->max_abs_logit)) r->max_abs_logit = difference; /* NaN stays */
        kl += exp(p) * (p - (theirs[i] - b));
    }
    r->mean_kl += kl;
    r->same_argmax += argmax(ours, n) == argmax(theirs, n);
}

enum status parity_compare(struct parity *p, struct weights *other, struct parity_report *out,
                           struct error *err)
{
    float *theirs;
    *out = (struct parity_report){ .prompts = p->n_prompts, .positions = positions(p) };
    if (other->shape.vocab_size != p->vocab_size)
        return fail(err, E_INPUT, "the copy has %d tokens instead of %d", other->shape.vocab_size,
                    p->vocab_size);
    TRY(logits_of(p, other, &theirs, err));
    for (int i = 0; i < out->positions; i++) {
        size_t at = (size_t)i * (size_t)p->vocab_size;
        add_position(out, p->logits + at, theirs + at, p->vocab_size);
    }
    out->mean_kl /= out->positions;
    out->same_argmax /= out->positions;
    free(theirs);
    return OK;
}
