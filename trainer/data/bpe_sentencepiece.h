#ifndef TRAINER_DATA_BPE_SENTENCEPIECE_H
#define TRAINER_DATA_BPE_SENTENCEPIECE_H

#include "trainer/data/bpe.h"

/*
 * Reads a sentencepiece model (tokenizer.model) of type BPE or unigram without a normal form of its
 * own, as Llama-1, Llama-2, TinyLlama, Mistral and Gemma have it, into a struct bpe; so it becomes
 * a tokenizer.json as any other. The file is a protocol buffer of which these fields matter:
 *
 *     1 piece, repeated        { 1 text, 2 float score, 3 type: 1 normal, 2 unknown, 3 control,
 *                                4 user-defined, 5 unused, 6 byte }
 *     2 trainer                { 3 model type: 1 unigram, 2 BPE; 24 spaces behind words }
 *     3 normalizer             { 1 name, 2 rules, 3 dummy prefix, 4 removal of extra spaces,
 *                                5 spaces as U+2581 }
 *
 * What becomes of it is what conversions to tokenizer.json have: text behind a user-defined or
 * control token gets a dummy prefix of its own (sentencepiece has one at the start of the text
 * alone), and a text that spells <s>, or in a unigram model <unk> or <0x41>, is that token
 * (sentencepiece cuts it as any other).
 *
 * Models that normalise (nmt_nfkc and the like), models that remove spaces or have them behind
 * words, unigram models with unused pieces and pieces of the same text are E_INPUT. The
 * library itself is not used: it is C++ alone, and its format is the table above.
 */
enum { BPE_SENTENCEPIECE_MAX_FILE = 64 << 20 };

/* Into an initialised struct, finished on success and released on failure. */
enum status bpe_sentencepiece_parse(struct bpe *bpe, const void *bytes, size_t len,
                                    struct error *err);

#endif
