#include "trainer/data/feed.h"

#include <string.h>
#include "search/base/rng.h"
#include "trainer/data/permute.h"

enum { KEY_DOMAIN = 1, KEY_EPOCH = 2 }; /* what a random number is for */

static uint64_t windows_of(struct token_span span, int time)
{
    return span.n ? (span.n - 1) / (uint64_t)time : 0;
}

/* One window of T+1 ids, as what is read and what is to be predicted. */
static enum status read_window(const struct dataset *ds, enum split split, uint64_t at, int time,
                               int32_t *ids, int32_t *targets, struct error *err)
{
    const struct shard *shard = &ds->shard[split];
    TRY(shard_read(shard, at, (size_t)time, ds->vocab_size, ids, err));
    TRY(shard_read(shard, at + (uint64_t)time, 1, ds->vocab_size, &targets[time - 1], err));
    memcpy(targets, ids + 1, ((size_t)time - 1) * sizeof *ids);
    return OK;
}

/* ---- training ------------------------------------------------------------------------ */

void feed_set_weights(struct feed *feed, const double *weights)
{
    double sum = 0;
    for (int d = 0; d < feed->ds->n_domains; d++) sum += weights[d];
    for (int d = 0; d < feed->ds->n_domains; d++) feed->weight[d] = weights[d] / sum;
}

enum status feed_check_domain(const struct feed *feed, int d, struct error *err)
{
    struct token_span span = feed->ds->domain[d].span[SPLIT_TRAIN];
    if (windows_of(span, feed->time)) return OK;
    return fail(err, E_INPUT,
                "domain %s has %llu training tokens; sequence_length %d needs at least %d",
                feed->ds->domain[d].name, (unsigned long long)span.n, feed->time, feed->time + 1);
}

static enum status check_lengths(const struct feed *feed, struct error *err)
{
    for (int d = 0; d < feed->ds->n_domains; d++)
        if (feed->weight[d] > 0) TRY(feed_check_domain(feed, d, err));
    return OK;
}

enum status feed_init(struct feed *feed, const struct dataset *ds, int time, uint64_t seed,
                      const double *weights, struct error *err)
{
    double by_tokens[DATASET_MAX_DOMAINS];
    *feed = (struct feed){ .ds = ds, .time = time, .seed = seed };
    if (!dataset_tokens(ds, SPLIT_TRAIN)) return fail(err, E_INPUT, "the dataset has no tokens");
    for (int d = 0; d < ds->n_domains; d++)
        by_tokens[d] = (double)ds->domain[d].span[SPLIT_TRAIN].n;
    feed_set_weights(feed, weights ? weights : by_tokens);
    return check_lengths(feed, err);
}

static int draw_domain(const struct feed *feed)
{
    uint64_t bits = rng_mix(rng_mix(feed->seed, KEY_DOMAIN), feed->samples);
    double left = (double)(bits >> 11) * 0x1p-53;
    int last = 0;
    for (int d = 0; d < feed->ds->n_domains; d++) {
        if (feed->weight[d] <= 0) continue;
        last = d;
        left -= feed->weight[d];
        if (left < 0) return d;
    }
    return last; /* rounding */
}

static enum status next_sample(struct feed *feed, int32_t *ids, int32_t *targets, struct error *err)
{
    int d = feed->ds->n_domains == 1 ? 0 : draw_domain(feed);
    struct token_span span = feed->ds->domain[d].span[SPLIT_TRAIN];
    uint64_t windows = windows_of(span, feed->time), taken = feed->taken[d]++;
    uint64_t key = rng_mix(rng_mix(feed->seed, KEY_EPOCH), taken / windows) + (uint64_t)d;
    uint64_t window = permute(key, windows, taken % windows);
    feed->samples++;
    return read_window(feed->ds, SPLIT_TRAIN, span.at + window * (uint64_t)feed->time, feed->time,
                       ids, targets, err);
}

enum status feed_next(struct feed *feed, int batch, int32_t *ids, int32_t *targets,
                      struct error *err)
{
    for (int b = 0; b < batch; b++) {
        size_t at = (size_t)b * (size_t)feed->time;
        TRY(next_sample(feed, ids + at, targets + at, err));
    }
    return OK;
}

/* ---- validation ------------------------------------------------------------------------ */

enum status held_out_init(struct held_out *held, const struct dataset *ds, int time, int domain,
                          int64_t tokens, struct error *err)
{
    *held = (struct held_out){ .ds = ds, .time = time };
    held->span = domain >= 0 ? ds->domain[domain].span[SPLIT_VALID]
                             : (struct token_span){ 0, (uint64_t)dataset_tokens(ds, SPLIT_VALID) };
    held->windows = windows_of(held->span, time);
    if (!held->windows)
        return fail(
            err, E_INPUT,
            "the validation split%s%s has %llu tokens; sequence_length %d needs at least %d",
            domain >= 0 ? " of domain " : "", domain >= 0 ? ds->domain[domain].name : "",
            (unsigned long long)held->span.n, time, time + 1);
    uint64_t n = (uint64_t)(tokens / time);
    held->n = n < 1 ? 1 : n < held->windows ? n : held->windows;
    return OK;
}

enum status held_out_read(const struct held_out *held, uint64_t i, int32_t *ids, int32_t *targets,
                          struct error *err)
{
    uint64_t window = i * held->windows / held->n;
    return read_window(held->ds, SPLIT_VALID, held->span.at + window * (uint64_t)held->time,
                       held->time, ids, targets, err);
}
