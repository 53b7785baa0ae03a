#ifndef TRAINER_DATA_TOKENIZER_H
#define TRAINER_DATA_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>
#include "search/base/buf.h"
#include "search/base/error.h"
#include "search/base/hash.h"

/*
 * Text to token ids and back. A tokenizer is a struct of functions, one file per
 * kind; whoever has a `struct tokenizer` need not know which.
 *
 * Two tokenizers with the same hash give the same ids: it is the SHA-256 of the
 * tokenizer.json that `save` writes. Datasets and models carry that file, so what
 * they were made with is always beside them.
 *
 * Ids lie in 0..vocab_size-1. A model's vocabulary may be larger than its
 * tokenizer's (padding), never smaller.
 *
 * A tokenizer is used by one thread at a time.
 */

/* A growing list of ids. Zero-initialise; release frees. */
struct ids {
    int32_t *id;
    size_t n, capacity;
};

void ids_put(struct ids *ids, int32_t id);
/* Makes room for `n` more and returns where they go; the caller adds to ids->n what it used. */
int32_t *ids_reserve(struct ids *ids, size_t n);
void ids_release(struct ids *ids);

struct tokenizer {
    const char *kind; /* "bytes", "bpe" */
    int vocab_size;
    int32_t eod; /* the id that ends a document; -1 when it has none */
    char hash[HASH_HEX];

    /* Appends the ids of `text`, which is any bytes; adds no special tokens. The text is one
     * whole document or a part that the caller cut where it does not matter. */
    enum status (*encode)(struct tokenizer *t, const char *text, size_t len, struct ids *out,
                          struct error *err);
    /* Appends the bytes of the ids; the id of a special token appends its text. */
    enum status (*decode)(struct tokenizer *t, const int32_t *ids, size_t n, struct buf *out,
                          struct error *err);
    /* Writes `dir`/tokenizer.json. */
    enum status (*save)(struct tokenizer *t, const char *dir, struct error *err);
    void (*close)(struct tokenizer *t);

    void *state; /* the kind's own */
};

/* From a tokenizer.json, a GGUF file, a sentencepiece model, or a folder that holds tokenizer.json or
 * tokenizer.model; what a file is shows in its first bytes. The file of the byte tokenizer is
 * recognised by its contents. */
enum status tokenizer_open(struct tokenizer **out, const char *path, struct error *err);
void tokenizer_close(struct tokenizer *t); /* NULL is fine */

enum { TOKENIZER_MAX_FILE = 64 << 20 };

/* ---- the kinds ---- */

/*
 * bytes: id b is byte b, id 256 ends a document; vocab_size is 257. (Backends pad the rows of
 * storage by themselves, so 257 costs nothing that a rounder number would save.) Its
 * tokenizer.json is a byte-level BPE without merges, which Hugging Face reads as the same
 * thing; there the text <|endoftext|> is id 256.
 */
enum { TOKENIZER_BYTES_VOCAB = 257, TOKENIZER_BYTES_EOD = 256 };
void tokenizer_bytes(struct tokenizer **out);

/* bpe: from the text of a tokenizer.json. E_INPUT names the key that cannot be read. */
enum status tokenizer_bpe(struct tokenizer **out, const char *json, size_t len, struct error *err);

/* The encoding behind a tokenizer of kind bpe, whose own it stays; NULL for the others. */
struct bpe;
const struct bpe *tokenizer_bpe_of(const struct tokenizer *t);

/* The tokenizer inside a GGUF file (bpe_gguf.h); E_MISSING when it has none. It saves as a
 * tokenizer.json with the same ids. */
enum status tokenizer_gguf(struct tokenizer **out, const char *path, struct error *err);

/* A sentencepiece model of type BPE (bpe_sentencepiece.h). It too saves as a tokenizer.json. */
enum status tokenizer_sentencepiece(struct tokenizer **out, const char *path, struct error *err);

#endif
