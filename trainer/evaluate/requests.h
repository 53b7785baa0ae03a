#ifndef TRAINER_EVALUATE_REQUESTS_H
#define TRAINER_EVALUATE_REQUESTS_H

#include "trainer/data/tokenizer.h"
#include "trainer/evaluate/task.h"

/*
 * What is asked of the model: how likely are the last n of these tokens after those before them?
 *
 *   choices   one request a choice. Trailing white space of the context goes to the continuation;
 *             context + continuation are encoded together and the tail behind as many tokens as the
 *             context alone has is the continuation. An empty context is one token, `prefix`. Of
 *             what is longer than the model sees (context + 1 tokens, the last being only
 *             predicted) the left goes.
 *   text      windows of a document: the first predicts from `prefix` on as many tokens as the
 * model sees, every next one the following so many; the last sees as much before its tokens as
 * fits.
 */
struct eval_request {
    int item, choice; /* choice: the number of the window in a text */
    size_t at;        /* of its tokens in `ids` */
    int n_context, n; /* at least 1 each; the model sees n_context + n - 1 */
};

struct eval_requests {
    int n, capacity;
    struct eval_request *request; /* by item, then by choice */
    struct ids ids;
    int64_t *tokens; /* of each item's text: what token perplexity divides by */
};

struct eval_encoding {
    struct tokenizer *tokenizer;
    int bos;    /* stands before every text; -1: the tokenizer adds none */
    int prefix; /* stands for nothing before a text; -1: there is none to be had */
    int context, vocab_size;
};

/* `path` is where the tokenizer was opened. The prefix is the harness's: what begins a text, else
 * what ends one, by what is said there (data/ends.h). */
void eval_encoding_init(struct eval_encoding *e, struct tokenizer *t, const char *path, int context,
                        int vocab_size);

/* E_INPUT names the item that cannot be asked; eval_requests_release in every case. */
enum status eval_requests_make(struct eval_requests *r, const struct eval_items *items,
                               const struct eval_encoding *e, struct error *err);
void eval_requests_release(struct eval_requests *r);

#endif
