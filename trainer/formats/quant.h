#ifndef TRAINER_FORMATS_QUANT_H
#define TRAINER_FORMATS_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Numbers as GGUF stores them: plain floats and blocks that share scales.
 *
 *   type   per block  bytes  value of element j (d, m: 16-bit floats of the block)
 *   F32            1      4
 *   F16            1      2
 *   BF16           1      2  the upper half of a float
 *   Q8_0          32     34  d q, q a signed byte
 *   Q4_0          32     18  d (q - 8); nibble j % 16, low for j < 16, high from 16 on
 *   Q4_1          32     20  d q + m
 *   Q5_0          32     22  d (q - 16); a fifth bit each in 4 bytes before the nibbles
 *   Q5_1          32     24  d q + m
 *   Q4_K         256    144  d s q - m t; 8 pairs (s, t) of 6 bits, one per 32 elements
 *   Q5_K         256    176  the same with a fifth bit
 *   Q6_K         256    210  d s (q - 32); 16 signed bytes s, one per 16 elements
 *
 * Everything is little-endian, as the machines we run on. Source: ggml's block
 * layouts; tests compare with values from an independent implementation.
 */
enum ggml_type {
    GGML_F32 = 0,
    GGML_F16 = 1,
    GGML_Q4_0 = 2,
    GGML_Q4_1 = 3,
    GGML_Q5_0 = 6,
    GGML_Q5_1 = 7,
    GGML_Q8_0 = 8,
    GGML_Q4_K = 12,
    GGML_Q5_K = 13,
    GGML_Q6_K = 14,
    GGML_BF16 = 30,
};

struct quant_type {
    enum ggml_type type;
    const char *name;
    int block, bytes; /* elements and bytes of a block */
    void (*decode)(const unsigned char *block, float *out);
    void (*encode)(const float *x, unsigned char *block); /* NULL: read only */
};

/* NULL for types that we do not know. */
const struct quant_type *quant_type_of(uint32_t ggml_type);
const struct quant_type *quant_type_named(const char *name); /* "Q8_0" */

/* n elements, a multiple of the block. */
void quant_decode(const struct quant_type *type, const void *blocks, size_t n, float *out);
void quant_encode(const struct quant_type *type, const float *x, size_t n, void *blocks);

/* IEEE binary16 and bfloat16; rounding is to nearest, ties to even. */
float half_to_float(uint16_t h);
uint16_t float_to_half(float x);
float bfloat_to_float(uint16_t b);
uint16_t float_to_bfloat(float x);

#endif
