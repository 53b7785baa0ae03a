#ifndef TRAINER_DATA_BPE_BYTES_H
#define TRAINER_DATA_BPE_BYTES_H

#include <stdbool.h>
#include "search/base/buf.h"

/*
 * The alphabet in which byte-level vocabularies are written: each byte has a
 * printable stand-in. 0x21..0x7e, 0xa1..0xac and 0xae..0xff stand for
 * themselves; the other 68 bytes are U+0100, U+0101, ... in order, so that a
 * space is U+0120. Facts of GPT-2's encoder.py and of tokenizer.json files.
 */

/* The code point that stands for a byte. */
int bpe_byte_symbol(unsigned char byte);

/* Appends the UTF-8 of the stand-ins of `len` bytes. */
void bpe_bytes_to_text(struct buf *out, const char *bytes, size_t len);

/* Appends the bytes that `text` stands for; false (and nothing appended) if some
 * character of it is no stand-in. */
bool bpe_text_to_bytes(struct buf *out, const char *text, size_t len);

/* Appends one code point as UTF-8. */
void bpe_put_rune(struct buf *out, int rune);

/* The length of the well-formed UTF-8 character at `text` (left >= 1 bytes) and its
 * code point; 0 if it is none. */
size_t bpe_rune(const char *text, size_t left, int *rune);

/* The first bytes of `text` that are well-formed UTF-8. */
size_t bpe_utf8_prefix(const char *text, size_t len);

#endif
