#include "trainer/formats/quant.h"

#include <math.h>
#include <string.h>

static uint16_t u16_at(const unsigned char *p) { return (uint16_t)(p[0] | p[1] << 8); }

static void put_u16(unsigned char *p, uint16_t u)
{
    p[0] = (unsigned char)u;
    p[1] = (unsigned char)(u >> 8);
}

static float half_at(const unsigned char *p) { return half_to_float(u16_at(p)); }

/* ---- plain floats ---------------------------------------------------------------------------- */

static void decode_f32(const unsigned char *p, float *out) { memcpy(out, p, 4); }
static void encode_f32(const float *x, unsigned char *p) { memcpy(p, x, 4); }
static void decode_f16(const unsigned char *p, float *out) { *out = half_at(p); }
static void encode_f16(const float *x, unsigned char *p) { put_u16(p, float_to_half(*x)); }
static void decode_bf16(const unsigned char *p, float *out) { *out = bfloat_to_float(u16_at(p)); }
static void encode_bf16(const float *x, unsigned char *p) { put_u16(p, float_to_bfloat(*x)); }

/* ---- blocks of 32 -------------------------------------------------------------------------- */

static void decode_q8_0(const unsigned char *p, float *out)
{
    float d = half_at(p);
    for (int j = 0; j < 32; j++) out[j] = d * (float)(signed char)p[2 + j];
}

static void encode_q8_0(const float *x, unsigned char *p)
{
    float most = 0;
    for (int j = 0; j < 32; j++) most = fmaxf(most, fabsf(x[j]));
    float d = most / 127, inverse = d != 0 ? 1 / d : 0;
    put_u16(p, float_to_half(d));
    for (int j = 0; j < 32; j++) p[2 + j] = (unsigned char)(signed char)roundf(x[j] * inverse);
}

/* Nibbles at qs, the fifth bits at qh (or NULL): element j of 32. */
static int five_bits(const unsigned char *qs, const unsigned char *qh, int j)
{
    int q = j < 16 ? qs[j] & 15 : qs[j - 16] >> 4;
    return qh ? q | (qh[j / 8] >> (j % 8) & 1) << 4 : q;
}

static void decode_q4_0(const unsigned char *p, float *out)
{
    float d = half_at(p);
    for (int j = 0; j < 32; j++) out[j] = d * (float)(five_bits(p + 2, NULL, j) - 8);
}

static void decode_q4_1(const unsigned char *p, float *out)
{
    float d = half_at(p), m = half_at(p + 2);
    for (int j = 0; j < 32; j++) out[j] = d * (float)five_bits(p + 4, NULL, j) + m;
}

static void decode_q5_0(const unsigned char *p, float *out)
{
    float d = half_at(p);
    for (int j = 0; j < 32; j++) out[j] = d * (float)(five_bits(p + 6, p + 2, j) - 16);
}

static void decode_q5_1(const unsigned char *p, float *out)
{
    float d = half_at(p), m = half_at(p + 2);
    for (int j = 0; j < 32; j++) out[j] = d * (float)five_bits(p + 8, p + 4, j) + m;
}

static int nibble(float x)
{
    int q = (int)x; /* towards zero; x is never below 0 by more than rounding */
    return q > 15 ? 15 : q;
}

static void encode_q4_0(const float *x, unsigned char *p)
{
    float most = 0; /* the value of largest magnitude, with its sign */
    for (int j = 0; j < 32; j++)
        if (fabsf(x[j]) > fabsf(most)) most = x[j];
    float d = most / -8, inverse = d != 0 ? 1 / d : 0;
    put_u16(p, float_to_half(d));
    for (int j = 0; j < 16; j++)
        p[2 + j] = (unsigned char)(nibble(x[j] * inverse + 8.5f) |
                                   nibble(x[j + 16] * inverse + 8.5f) << 4);
}

static void encode_q4_1(const float *x, unsigned char *p)
{
    float low = x[0], high = x[0];
    for (int j = 1; j < 32; j++) low = fminf(low, x[j]), high = fmaxf(high, x[j]);
    float d = (high - low) / 15, inverse = d != 0 ? 1 / d : 0;
    put_u16(p, float_to_half(d));
    put_u16(p + 2, float_to_half(low));
    for (int j = 0; j < 16; j++)
        p[4 + j] = (unsigned char)(nibble((x[j] - low) * inverse + 0.5f) |
                                   nibble((x[j + 16] - low) * inverse + 0.5f) << 4);
}

/* ---- blocks of 256 ------------------------------------------------------------------------- */

/* Scale and minimum j of 8, 6 bits each in 12 bytes. */
static void six_bits(const unsigned char *p, int j, int *scale, int *minimum)
{
    if (j < 4) {
        *scale = p[j] & 63;
        *minimum = p[j + 4] & 63;
    } else {
        *scale = (p[j + 4] & 15) | (p[j - 4] >> 6) << 4;
        *minimum = p[j + 4] >> 4 | (p[j] >> 6) << 4;
    }
}

/* 32 elements share a scale; two such runs share 32 bytes of nibbles. */
static void decode_k(const unsigned char *p, const unsigned char *qh, const unsigned char *qs,
                     float *out)
{
    float d = half_at(p), m = half_at(p + 2);
    for (int run = 0; run < 8; run++) {
        int scale, minimum;
        six_bits(p + 4, run, &scale, &minimum);
        const unsigned char *nibbles = qs + run / 2 * 32;
        for (int j = 0; j < 32; j++) {
            int q = run % 2 ? nibbles[j] >> 4 : nibbles[j] & 15;
            if (qh) q |= (qh[j] >> run & 1) << 4;
            out[run * 32 + j] = d * (float)scale * (float)q - m * (float)minimum;
        }
    }
}

static void decode_q4_k(const unsigned char *p, float *out) { decode_k(p, NULL, p + 16, out); }
static void decode_q5_k(const unsigned char *p, float *out) { decode_k(p, p + 16, p + 48, out); }

/* Two halves of 128; in each, four runs of 32 take two bits each of the same 32 bytes at qh. */
static void decode_q6_k(const unsigned char *p, float *out)
{
    float d = half_at(p + 208);
    for (int half = 0; half < 2; half++) {
        const unsigned char *ql = p + half * 64, *qh = p + 128 + half * 32,
                            *scale = p + 192 + half * 8;
        for (int run = 0; run < 4; run++)
            for (int j = 0; j < 32; j++) {
                int low = run < 2 ? ql[run * 32 + j] & 15 : ql[(run - 2) * 32 + j] >> 4;
                int q = low | (qh[j] >> (2 * run) & 3) << 4;
                float s = (float)(signed char)scale[run * 2 + j / 16];
                out[half * 128 + run * 32 + j] = d * s * (float)(q - 32);
            }
    }
}

/* ---- the table ----------------------------------------------------------------------------- */

static const struct quant_type types[] = {
    { GGML_F32, "F32", 1, 4, decode_f32, encode_f32 },
    { GGML_F16, "F16", 1, 2, decode_f16, encode_f16 },
    { GGML_BF16, "BF16", 1, 2, decode_bf16, encode_bf16 },
    { GGML_Q8_0, "Q8_0", 32, 34, decode_q8_0, encode_q8_0 },
    { GGML_Q4_0, "Q4_0", 32, 18, decode_q4_0, encode_q4_0 },
    { GGML_Q4_1, "Q4_1", 32, 20, decode_q4_1, encode_q4_1 },
    { GGML_Q5_0, "Q5_0", 32, 22, decode_q5_0, NULL },
    { GGML_Q5_1, "Q5_1", 32, 24, decode_q5_1, NULL },
    { GGML_Q4_K, "Q4_K", 256, 144, decode_q4_k, NULL },
    { GGML_Q5_K, "Q5_K", 256, 176, decode_q5_k, NULL },
    { GGML_Q6_K, "Q6_K", 256, 210, decode_q6_k, NULL },
};

const struct quant_type *quant_type_of(uint32_t ggml_type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((uint32_t)types[i].type == ggml_type) return &types[i];
    return NULL;
}

const struct quant_type *quant_type_named(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, name)) return &types[i];
    return NULL;
}

void quant_decode(const struct quant_type *type, const void *blocks, size_t n, float *out)
{
    const unsigned char *p = blocks;
    for (size_t i = 0; i < n; i += (size_t)type->block, p += type->bytes) type->decode(p, out + i);
}

void quant_encode(const struct quant_type *type, const float *x, size_t n, void *blocks)
{
    unsigned char *p = blocks;
    for (size_t i = 0; i < n; i += (size_t)type->block, p += type->bytes) type->encode(x + i, p);
}
