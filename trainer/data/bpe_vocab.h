#ifndef TRAINER_DATA_BPE_VOCAB_H
#define TRAINER_DATA_BPE_VOCAB_H

#include <stddef.h>
#include <stdint.h>
#include "search/base/buf.h"

/*
 * The tokens of a vocabulary: text by id and id by text, each O(1).
 *
 * Ids are 0..n-1 and may have holes, whose text has length 0 and is never found.
 * Text is whatever the file calls the token (for a byte-level vocabulary the
 * printable stand-ins of the bytes, see bpe_bytes.h). If two ids have the same
 * text, the one added first is found. All memory belongs to the struct.
 */
enum {
    BPE_MAX_TOKENS = 1 << 20,      /* ids are below this */
    BPE_MAX_TOKEN_BYTES = 1 << 12, /* of one token's text */
    BPE_MAX_TEXT_BYTES = 64 << 20, /* of all texts together */
};

struct bpe_vocab {
    int n, room;      /* ids in use are below n */
    uint32_t *start;  /* of the text of an id in `text` */
    uint32_t *length; /* 0: a hole */
    struct buf text;
    int32_t *slot;          /* open addressing: id + 1, or 0 */
    uint32_t mask, n_found; /* slots - 1; slots in use */
};

void bpe_vocab_init(struct bpe_vocab *v);
void bpe_vocab_release(struct bpe_vocab *v);

/* E_INPUT names the id: out of range, empty or too long, or taken by another text. */
enum status bpe_vocab_add(struct bpe_vocab *v, int64_t id, const char *text, size_t len,
                          struct error *err);

/* The id of a text, or -1. */
int bpe_vocab_find(const struct bpe_vocab *v, const char *text, size_t len);

/* The text of an id and its length; "" and 0 for a hole or an id outside the vocabulary. */
const char *bpe_vocab_text(const struct bpe_vocab *v, int id, size_t *len);

/* A multiplicative hash with good low bits; not for hostile tables beyond the ceilings above. */
uint64_t bpe_hash(const char *text, size_t len);

#endif
