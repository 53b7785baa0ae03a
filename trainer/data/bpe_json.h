#ifndef TRAINER_DATA_BPE_JSON_H
#define TRAINER_DATA_BPE_JSON_H

#include "trainer/data/bpe.h"

/*
 * Reads the tokenizer.json of Hugging Face's tokenizers into a struct bpe.
 *
 *   normalizer      none, NFC, NFD, NFKC, NFKD, Replace, Prepend, or a Sequence of them
 *   pre_tokenizer   none, ByteLevel, Digits, Split, or a Sequence that ends in ByteLevel
 *   model           BPE: byte-level, or of characters with byte_fallback; merges as
 *                   "a b" or ["a", "b"]; no dropout, prefix or suffix
 *                   or Unigram: pairs of text and score
 *   added_tokens    all flags
 *   post_processor  TemplateProcessing's first and last special token become bos and eos
 *
 * What would change ids and is not in the list is refused by name (E_INPUT); the rest of
 * the file is ignored. The file's own name is in front of every message of bpe_json_read.
 */
enum { BPE_JSON_MAX_FILE = 128 << 20, BPE_JSON_MAX_MERGES = 4 << 20 };

/* Into a zeroed struct; it is released again on failure. */
enum status bpe_json_parse(struct bpe *bpe, const char *text, size_t len, struct error *err);
enum status bpe_json_read(struct bpe *bpe, const char *path, struct error *err);

#endif
