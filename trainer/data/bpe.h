#ifndef TRAINER_DATA_BPE_H
#define TRAINER_DATA_BPE_H

#include "trainer/data/bpe_added.h"
#include "trainer/data/bpe_merges.h"
#include "trainer/data/bpe_norm.h"
#include "trainer/data/bpe_split.h"
#include "trainer/data/bpe_unigram.h"
#include "trainer/data/bpe_vocab.h"
#include "trainer/data/tokenizer.h"

/*
 * A byte-pair encoding as a whole: text to ids and back.
 *
 *     text -> added tokens -> normal form -> added tokens -> words -> merges -> ids
 *
 * In place of merges, a unigram model of sentencepiece looks for the likeliest tokens.
 *
 * Two alphabets. BPE_BYTES starts from bytes (GPT-2 and most since); every text,
 * valid UTF-8 or not, comes back from its ids as it was, but for a normal form.
 * BPE_RUNES starts from characters and falls back to tokens named <0x00>..<0xFF>
 * (Llama-2, TinyLlama and other conversions of sentencepiece).
 *
 * Built by bpe_json.h (tokenizer.json), bpe_train.h or a GGUF file: add tokens,
 * then rules, then whatever else, then bpe_finish. After that a struct bpe is
 * never changed and threads may share it; each thread encodes with a
 * struct bpe_encoder of its own, which holds the cache of words and the scratch.
 *
 * Ids equal those of Hugging Face's tokenizers without special tokens; `bos` and
 * `eos` say what its post-processor would put around a text.
 */
enum bpe_alphabet { BPE_BYTES, BPE_RUNES };
enum bpe_role { BPE_NORMAL, BPE_ADDED, BPE_SPECIAL };

struct bpe {
    enum bpe_alphabet alphabet;
    struct bpe_vocab vocab;
    struct bpe_merges merges;
    struct bpe_unigram unigram; /* in place of merges, with BPE_RUNES (bpe_unigram.h) */
    struct bpe_norm norm;
    struct bpe_split split;
    struct bpe_added added;
    bool ignore_merges; /* a word that is a token is that token, whatever the rules say */
    bool byte_fallback; /* BPE_RUNES: what is no token is told byte by byte; true from the start */
    bool fuse_unknown;  /* neighbouring unknown characters are one unknown token */
    bool strip_space;   /* decoding drops one space at the start */
    int unknown;        /* its id, or -1: unknown symbols vanish */
    int bos, eos;       /* what the post-processor adds in front and behind, or -1 */
    int32_t byte_id[256]; /* BPE_BYTES: of a byte; BPE_RUNES: of <0xXX>; or -1 */
    struct buf spoken;    /* what each id says, one after the other */
    uint32_t *spoken_at;  /* vocab.n + 1 offsets into it */
    unsigned char *role;  /* of each id, enum bpe_role */
    bool *outside;        /* of each id: an added token that the model's vocabulary lacks */
};

void bpe_init(struct bpe *bpe);
void bpe_release(struct bpe *bpe);

/* The rule that joins two tokens by their texts, whose joined text must be a token too. */
enum status bpe_add_rule(struct bpe *bpe, const char *left, size_t n_left, const char *right,
                         size_t n_right, uint32_t rank, struct error *err);

/* Call once when everything is in. */
enum status bpe_finish(struct bpe *bpe, struct error *err);

/* The token of the model's own vocabulary with that text, or -1. After bpe_finish. */
int bpe_find(const struct bpe *bpe, const char *text, size_t len);

/* Ids are below this; there may be holes. */
static inline int bpe_vocab_size(const struct bpe *bpe) { return bpe->vocab.n; }

/* Appends what the ids say. E_INPUT for an id outside the vocabulary. */
enum status bpe_decode(const struct bpe *bpe, const int32_t *ids, size_t n, bool skip_special,
                       struct buf *out, struct error *err);

/* ---- encoding ---- */

enum {
    BPE_MAX_ENCODE = 256 << 20, /* bytes of one text */
    BPE_MAX_WORD = 4 << 20,     /* bytes of one word */
    BPE_CACHE_WORDS = 1 << 16,  /* of 64 bytes: 4 MiB */
};

struct bpe_encoder {
    const struct bpe *bpe;
    struct bpe_cached *cache; /* NULL: not used */
    struct bpe_work work;
    struct bpe_lattice lattice;
    struct buf norm, norm_scratch, mapped;
    struct ids word, *out;
    struct error *err;
};

void bpe_encoder_init(struct bpe_encoder *e, const struct bpe *bpe);
void bpe_encoder_release(struct bpe_encoder *e);

/* Appends the ids of a text. Bytes that are not UTF-8 are encoded one by one. */
enum status bpe_encode(struct bpe_encoder *e, const char *text, size_t len, struct ids *out,
                       struct error *err);

#endif
