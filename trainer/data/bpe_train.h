#ifndef TRAINER_DATA_BPE_TRAIN_H
#define TRAINER_DATA_BPE_TRAIN_H

#include "search/base/buf.h"
#include "search/base/error.h"
#include "trainer/data/bpe_family.h"

/*
 * Trains a byte-level byte-pair encoding: counts words, then joins the most
 * frequent pair of neighbours again and again until the vocabulary is full or no
 * pair occurs `min_count` times. Equal counts go to the pair with the lower ids
 * (left first), so the same texts in any order give the same bytes.
 *
 * Ids: 0 is <|endoftext|>, 1..256 are the bytes in the order of their printable
 * stand-ins (bpe_bytes.h), the rest are joined pairs in the order in which they were
 * found. Hugging Face's trainer gives the same for the same words.
 *
 *     bpe_trainer_open(&t, &options, err);
 *     for each document: bpe_trainer_add(t, text, len, err);
 *     bpe_trainer_finish(t, &json, err);     a tokenizer.json
 *     bpe_trainer_close(t);
 *
 * Memory is bounded: beyond max_words different words the rarest are forgotten, and
 * a word longer than BPE_TRAIN_MAX_WORD bytes does not count. (Forgetting depends on
 * the order of the texts; it starts far beyond natural language in a few GB.)
 */
enum { BPE_TRAIN_MIN_VOCAB = 257, BPE_TRAIN_MAX_VOCAB = 1 << 18, BPE_TRAIN_MAX_WORD = 256 };

struct bpe_train_options {
    int vocab_size;
    enum bpe_family family;
    int min_count; /* 0: 2 */
    int max_words; /* 0: 4 million */
};

struct bpe_trainer;

enum status bpe_trainer_open(struct bpe_trainer **out, const struct bpe_train_options *options,
                             struct error *err);
enum status bpe_trainer_add(struct bpe_trainer *t, const char *text, size_t len, struct error *err);

/* Replaces the contents of `json`. E_INPUT when nothing was added. *vocab_size is what came out. */
enum status bpe_trainer_finish(struct bpe_trainer *t, struct buf *json, int *vocab_size,
                               struct error *err);
void bpe_trainer_close(struct bpe_trainer *t); /* NULL is fine */

#endif
