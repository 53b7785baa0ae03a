#ifndef TRAINER_DATA_FEED_H
#define TRAINER_DATA_FEED_H

#include <stdint.h>
#include "trainer/data/dataset.h"

/*
 * Batches of a dataset. A sample is a window of T+1 ids: T to read and, one further,
 * T to predict. Windows of a domain lie side by side, sharing one id; an epoch
 * is a permutation of them that depends on seed, domain and epoch (permute.h).
 *
 * Which domain sample s comes from is drawn by its number and the weights; within
 * the domain the samples are numbered by `taken`. With one domain taken[0] is the
 * sample's number, so any batch can be made without making those before it; with
 * several, `taken` is all that a checkpoint must keep.
 */
struct feed {
    const struct dataset *ds; /* borrowed */
    int time;
    uint64_t seed;
    double weight[DATASET_MAX_DOMAINS]; /* add up to 1 */
    uint64_t taken[DATASET_MAX_DOMAINS];
    uint64_t samples; /* number of the next one */
};

/* Weights may be NULL: every domain by its share of tokens. E_INPUT when a domain that has a
 * weight is shorter than one window. */
enum status feed_init(struct feed *feed, const struct dataset *ds, int time, uint64_t seed,
                      const double *weights, struct error *err);

/* The next `batch` samples: ids and targets are (batch, time). */
enum status feed_next(struct feed *feed, int batch, int32_t *ids, int32_t *targets,
                      struct error *err);

/* E_INPUT when domain `d` is shorter than one window. */
enum status feed_check_domain(const struct feed *feed, int d, struct error *err);

/* Changes the weights from the next sample on; they are scaled to add up to 1. A domain that
 * feed_check_domain refuses must keep weight 0. */
void feed_set_weights(struct feed *feed, const double *weights);

/*
 * The validation split, always the same windows: `n` of them, evenly spaced over a domain
 * (or over all, domain -1).
 */
struct held_out {
    const struct dataset *ds;
    int time;
    struct token_span span;
    uint64_t windows, n;
};

/* As many windows as `tokens` allow, at least one. E_INPUT when the split is too short. */
enum status held_out_init(struct held_out *held, const struct dataset *ds, int time, int domain,
                          int64_t tokens, struct error *err);
/* Window i of 0..n-1. */
enum status held_out_read(const struct held_out *held, uint64_t i, int32_t *ids, int32_t *targets,
                          struct error *err);

#endif
