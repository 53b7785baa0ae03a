#include "trainer/formats/quant.h"

#include <string.h>

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

float bfloat_to_float(uint16_t b) { return float_of((uint32_t)b << 16); }

uint16_t float_to_bfloat(float x)
{
    uint32_t u = bits_of(x);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 64); /* a quiet NaN */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31) return float_of(sign | 0x7f800000 | fraction << 13);
    if (exponent) return float_of(sign | (exponent + 112) << 23 | fraction << 13);
    float tiny = (float)fraction * 0x1p-24f;
    return sign ? -tiny : tiny;
}

/* `fraction` shifted right by `shift`, to nearest, ties to even. */
static uint32_t rounded(uint32_t fraction, uint32_t shift)
{
    uint32_t half = 1u << (shift - 1), rest = fraction & (2 * half - 1), kept = fraction >> shift;
    return kept + (rest > half || (rest == half && (kept & 1)));
}

uint16_t float_to_half(float x)
{
    uint32_t u = bits_of(x), sign = u >> 16 & 0x8000, fraction = u & 0x7fffff;
    int exponent = (int)(u >> 23 & 255) - 112; /* half's */
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(sign | 0x7e00 | fraction >> 13);
    if (exponent >= 31) return (uint16_t)(sign | 0x7c00);
    if (exponent > 0) return (uint16_t)(sign | (rounded((uint32_t)exponent << 23 | fraction, 13)));
    if (exponent < -10) return (uint16_t)sign;
    return (uint16_t)(sign | rounded(fraction | 0x800000, (uint32_t)(14 - exponent)));
}
