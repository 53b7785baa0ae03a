#ifndef TRAINER_PARITY_H
#define TRAINER_PARITY_H

#include "trainer/data/tokenizer.h"
#include "trainer/formats/weights.h"

/*
 * How far apart two sets of weights are, in what matters: the logits on prompts.
 *
 *     parity_open(&p, weights, prompts, n, tokenizer, seed, err)   our own forward, once
 *     parity_compare(p, other, &report, err)                       for every copy of it
 *
 * Without prompts a few English sentences stand in, without a tokenizer random ids from the
 * seed. At most PARITY_TOKENS of each prompt count.
 */
enum { PARITY_TOKENS = 64, PARITY_PROMPTS = 8 };

struct parity_report {
    int prompts, positions;
    double max_abs_logit; /* largest difference of two logits */
    double mean_kl;       /* nats, of the copy's distribution from ours, over positions */
    double same_argmax;   /* share of positions */
};

struct parity;

enum status parity_open(struct parity **out, struct weights *w, const char *backend, int threads,
                        char *const *prompts, int n_prompts, struct tokenizer *tokenizer,
                        uint64_t seed, struct error *err);

/* `other` may have a larger shape (padding), not another vocabulary. */
enum status parity_compare(struct parity *p, struct weights *other, struct parity_report *out,
                           struct error *err);
void parity_close(struct parity *p); /* NULL is fine */

#endif
