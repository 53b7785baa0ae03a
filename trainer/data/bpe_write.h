#ifndef TRAINER_DATA_BPE_WRITE_H
#define TRAINER_DATA_BPE_WRITE_H

#include "trainer/data/bpe.h"

/*
 * Writes a struct bpe as a tokenizer.json that bpe_json.h and Hugging Face's
 * tokenizers read as the same encoding, whichever file it came from. Tokens come by
 * id and merges by rank, so equal encodings give equal bytes.
 */
enum { BPE_WRITE_MAX = 128 << 20 };

/* Replaces the contents of `json`. */
enum status bpe_write(const struct bpe *bpe, struct buf *json, struct error *err);

#endif
