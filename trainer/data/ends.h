#ifndef TRAINER_DATA_ENDS_H
#define TRAINER_DATA_ENDS_H

#include "trainer/data/tokenizer.h"

/*
 * Which tokens begin and end a text, by what stands beside a tokenizer. tokenizer.json alone says
 * what is put around a text; what its tokens are called is in
 *
 *     tokenizer_config.json    bos_token, eos_token: a text, or an object with its `content`
 *     generation_config.json   eos_token_id: an id, or several where a model stops at several, such
 *                              as an end of turn; config.json where there is no such file
 *     GGUF                     tokenizer.ggml.bos_token_id, .eos_token_id
 */
enum { ENDS_MOST = 16 };

struct ends {
    int bos;                      /* -1: nobody says */
    int eos;                      /* where nobody says the tokenizer's eod, which may be -1 */
    int n_stops, stop[ENDS_MOST]; /* where generating ends, eos among them; the first that fit */
};

/* What is said at `path`, the folder or file that `t` was opened from; what the tokenizer itself
 * puts before a text comes first. Ids outside the vocabulary do not count. A file that cannot be
 * read says nothing, and is logged. */
void ends_read(struct ends *ends, struct tokenizer *t, const char *path);

/* tokenizer_config.json and generation_config.json, as transformers reads them. */
enum status ends_write(const struct ends *ends, struct tokenizer *t, int max_position,
                       const char *dir, struct error *err);

#endif
