#ifndef TRAINER_DATA_BPE_ADDED_H
#define TRAINER_DATA_BPE_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include "search/base/error.h"

/*
 * Added tokens: whole texts that become one id before anything else happens, such
 * as <|endoftext|>. Of those that begin at the same place the longest is meant.
 *
 *   normalized   is looked for in the normalised text (and its own text is
 *                normalised by the one who adds it); the others in the raw text
 *   lstrip       takes the white space before it along
 *   rstrip       takes the white space behind it along
 *   single_word  counts only with no word character before or behind it
 *   special      is control, not text: decoding may leave it out
 *   outside      is not in the model's vocabulary: no word and no character becomes it
 */
enum { BPE_MAX_ADDED = 65536, BPE_MAX_ADDED_BYTES = 4096 };

struct bpe_added_token {
    char *text; /* owned by struct bpe_added */
    size_t len;
    int id;
    bool special, normalized, lstrip, rstrip, single_word, outside;
    int next; /* of those with the same first byte, longest first; -1 ends */
};

struct bpe_added {
    struct bpe_added_token *token;
    int n, room;
    int first[2][256]; /* [normalized][first byte]; valid once n > 0 */
};

/* Copies the token and its text. E_INPUT for an empty or too long text. */
enum status bpe_added_add(struct bpe_added *added, const struct bpe_added_token *token,
                          struct error *err);
void bpe_added_release(struct bpe_added *added);

/* The first added token of the kind in text[from..len), with what it takes along in [*start, *end);
 * NULL when there is none. `floor` is where the last match ended: nothing before it is taken. */
const struct bpe_added_token *bpe_added_find(const struct bpe_added *added, bool normalized,
                                             const char *text, size_t len, size_t from,
                                             size_t floor, size_t *start, size_t *end);

#endif
