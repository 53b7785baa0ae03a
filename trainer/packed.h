#ifndef TRAINER_PACKED_H
#define TRAINER_PACKED_H

#include "trainer/model.h"

/*
 * Forward passes over pieces of text of any lengths, packed row behind row: no padding, a
 * beginning that several texts share is computed once, and keys and values may be kept, so
 * that the next call goes on where this one ended.
 *
 *     packed_open(&p, model, max_position, 0, err)      nothing kept
 *     packed_run(p, ids, pieces, n)
 *     packed_logits(p, rows, n_rows, see, user)         of the rows that matter
 *
 * A piece is rows of the call that follow one another in one text. It sees rows of the store: all
 * of past_at..past_at+past-1 and, causally, its own. Without a store to keep, the store is the
 * call itself:
 *
 *     context of 30 tokens, then two continuations of 7 and 3 tokens:
 *     {.row = 0, .rows = 30}                                      positions 0..29
 *     {.row = 30, .rows = 7, .position = 30, .past_at = 0, .past = 30}
 *     {.row = 37, .rows = 3, .position = 30, .past_at = 0, .past = 30}
 *
 * With one (store_rows > 0) a piece's keys and values are put at own_at of it, for every later call
 * to see:
 *
 *     prompt      {.row = 0, .rows = n}
 *     then        {.row = 0, .rows = 1, .position = n, .past_at = 0, .past = n, .own_at = n}
 *
 * Logits equal model_logits' of every text by itself but for rounding (tests/trainer/test_packed.c).
 * The model is open for batches of 1 and sequence_length rows, the most that a call may have;
 * max_position bounds positions. Layers may be unequal; any backend with attention_spans.
 */
struct packed_piece {
    int row, rows, position;
    int past_at, past;
    int own_at; /* looked at with a store only */
};

struct packed;

enum { PACKED_MAX_STORE = 1 << 22 };

/* The model is borrowed, and runs packed calls only until packed_close. E_INPUT where the backend
 * cannot, E_MEMORY naming the bytes of the store. */
enum status packed_open(struct packed **out, struct model *model, int max_position, int store_rows,
                        struct error *err);
void packed_close(struct packed *p); /* NULL is fine */

/* Every row of the call lies in one piece. Sizes and ids are the caller's to keep in bounds
 * (asserted). */
void packed_run(struct packed *p, const int32_t *ids, const struct packed_piece *piece, int n);

/* Shows the logits of rows of the last call, some rows at a time in their order: (n, vocab_size) of
 * rows number first.. of `row`. Once after each call. */
typedef void packed_see(void *user, int first, int n, const float *logits);
void packed_logits(struct packed *p, const int *row, int n, packed_see *see, void *user);

/* For the layer: attention of this call; puts keys and values away first. */
void packed_attention(struct packed *p, int layer);

#endif
