#include <string.h>
#include "trainer/formats/safetensors.h"

static const struct {
    const char *name;
    size_t bytes;
} types[TENSOR_TYPES] = {
    { "BOOL", 1 }, { "U8", 1 },   { "I8", 1 },  { "I16", 2 }, { "U16", 2 },
    { "F16", 2 },  { "BF16", 2 }, { "I32", 4 }, { "U32", 4 }, { "F32", 4 },
    { "F64", 8 },  { "I64", 8 },  { "U64", 8 },
};

const char *tensor_type_name(enum tensor_type type) { return types[type].name; }

size_t tensor_type_bytes(enum tensor_type type) { return types[type].bytes; }

int64_t tensor_count(const struct tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        if (!t->dim[i]) return 0; /* whatever the other dimensions are */
    for (int i = 0; i < t->rank; i++) n *= t->dim[i];
    return n;
}

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits. */
static float from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ffu;
    if (exponent == 31) return from_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent) return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float tiny = (float)mantissa * 0x1p-24f; /* zero or subnormal */
    return sign ? -tiny : tiny;
}

enum status tensor_floats(const struct tensor *t, float *out, struct error *err)
{
    size_t n = (size_t)tensor_count(t);
    const unsigned char *b = t->bytes;
    switch (t->type) {
    case TENSOR_F32:
        if (n) memcpy(out, b, n * 4);
        return OK;
    case TENSOR_BF16:
        for (size_t i = 0; i < n; i++)
            out[i] = from_bits((uint32_t)b[2 * i] << 16 | (uint32_t)b[2 * i + 1] << 24);
        return OK;
    case TENSOR_F16:
        for (size_t i = 0; i < n; i++) out[i] = from_f16((uint16_t)(b[2 * i] | b[2 * i + 1] << 8));
        return OK;
    case TENSOR_F64:
        for (size_t i = 0; i < n; i++) {
            double x;
            memcpy(&x, b + 8 * i, 8);
            out[i] = (float)x;
        }
        return OK;
    default:
        return fail(err, E_INPUT, "tensor %.100s has type %s; F32, F16, BF16 and F64 can be read",
                    t->name, tensor_type_name(t->type));
    }
}

enum status tensor_expect(const struct tensor *t, int64_t rows, int64_t cols, struct error *err)
{
    bool fits = rows ? t->rank == 2 && t->dim[0] == rows && t->dim[1] == cols
                     : t->rank == 1 && t->dim[0] == cols;
    if (fits) return OK;
    long long a = t->rank > 0 ? t->dim[0] : 0, b = t->rank > 1 ? t->dim[1] : 0;
    return fail(err, E_INPUT,
                "tensor %.100s has rank %d and shape [%lld, %lld, ..], the model's shape asks for "
                "[%lld, %lld]",
                t->name, t->rank, a, b, (long long)rows, (long long)cols);
}
