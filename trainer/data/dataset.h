#ifndef TRAINER_DATA_DATASET_H
#define TRAINER_DATA_DATASET_H

#include <stdint.h>
#include "search/base/emit.h"
#include "search/base/hash.h"
#include "trainer/data/shard.h"
#include "trainer/data/tokenizer.h"

/*
 * A dataset is a folder:
 *
 *     dataset.json     what this header describes
 *     train.bin        token shard (shard.h), domain after domain
 *     valid.bin        the held-out documents, in the same order
 *     tokenizer.json   what the ids mean (tokenizer.h)
 *
 * Every document lies wholly in one of the two splits and ends with the
 * tokenizer's end-of-document id. A domain is a contiguous run in each split.
 */
enum split { SPLIT_TRAIN, SPLIT_VALID, SPLITS };
enum { DATASET_MAX_DOMAINS = 32, DATASET_NAME = 128, DOMAIN_NAME = 64 };

struct token_span {
    uint64_t at, n; /* ids of the split's shard */
};

struct domain {
    char name[DOMAIN_NAME];
    int64_t documents, bytes;
    struct token_span span[SPLITS];
};

struct dataset {
    char name[DATASET_NAME];
    char tokenizer_kind[16], tokenizer_hash[HASH_HEX];
    int vocab_size;
    int32_t eod;
    uint64_t seed;
    double validation_fraction;
    int64_t documents, bytes;
    int n_domains;
    struct domain domain[DATASET_MAX_DOMAINS];
    struct shard shard[SPLITS]; /* open after dataset_open only */
};

/* Reads dataset.json and maps both shards; refuses spans beyond them. */
enum status dataset_open(struct dataset *ds, const char *dir, struct error *err);
void dataset_close(struct dataset *ds); /* a zeroed one is fine */

int64_t dataset_tokens(const struct dataset *ds, enum split split);

/* The object of dataset.json. */
void dataset_emit(const struct dataset *ds, struct emit *e);
enum status dataset_parse(struct dataset *ds, const char *text, size_t len, struct error *err);

#endif
