#ifndef TRAINER_DATA_SHARD_H
#define TRAINER_DATA_SHARD_H

#include <stdint.h>
#include "search/base/error.h"
#include "trainer/formats/file.h"

/*
 * A shard: token ids in a file, one after the other, mapped for reading. A
 * document ends with the tokenizer's end-of-document id.
 *
 * Our own files are llm.c's with a longer count, so that llm.c's tools read them:
 * a header of 256 little-endian int32, then the ids.
 *
 *     [0] 20240520 and [1] 1: ids are uint16   [0] 20240801 and [1] 7: uint32
 *     [2] number of ids, 0 when it is 2^31 or more
 *     [3] [4] number of ids, low and high 32 bits (0 in files that others wrote)
 *
 * Read as well: nanoGPT's (uint16 without a header) and Megatron's (NAME.bin with
 * NAME.idx beside it, ids of 1, 2, 4 or 8 bytes). Megatron's need not end a document
 * with an id: the index says where documents end.
 */
enum shard_format { SHARD_LLMC, SHARD_NANOGPT, SHARD_MEGATRON };

struct shard {
    struct file_map map;
    const unsigned char *ids; /* little-endian */
    int width;                /* bytes of an id: 1, 2, 4 or 8 */
    uint64_t n;
    struct file_map idx; /* Megatron's; len is 0 for the others */
    uint64_t n_sequences, n_marks;
};

/* Refuses, with a sentence, lengths that do not fit the file. */
enum status shard_open(struct shard *shard, const char *path, enum shard_format format,
                       struct error *err);
void shard_close(struct shard *shard); /* a zeroed one is fine */

/* Ids at..at+n-1 into `out`. E_INPUT, naming the place, for an id outside 0..vocab_size-1. */
enum status shard_read(const struct shard *shard, uint64_t at, size_t n, int vocab_size,
                       int32_t *out, struct error *err);

/* Where document i ends by the index: the number of the id behind it. The last one, and the only
 * one of a shard without an index, ends with the shard. */
uint64_t shard_document_end(const struct shard *shard, uint64_t i);

/* ---- writing our own ---- */

struct shard_out;
enum status shard_create(struct shard_out **out, const char *path, int vocab_size,
                         struct error *err);
void shard_put(struct shard_out *out, const int32_t *ids, size_t n);
uint64_t shard_count(const struct shard_out *out);
/* fsyncs, closes and frees in every case; NULL is fine. */
enum status shard_finish(struct shard_out *out, struct error *err);

#endif
