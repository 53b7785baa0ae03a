/* Blocks of numbers against gguf-py's, both ways, and the 16-bit floats against their definitions.
 */
#include <jansson.h>
#include <stdint.h>

#include "tests/support/check.h"
#include "trainer/formats/quant.h"

enum { MAX_BYTES = 4096, MAX_FLOATS = 1024 };

static size_t bytes_of(json_t *json, unsigned char *out)
{
    const char *hex = json_string_value(json);
    size_t n = strlen(hex) / 2;
    CHECK(n <= MAX_BYTES, "%zu bytes", n);
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        CHECK(sscanf(hex + 2 * i, "%2x", &byte) == 1, "not hexadecimal");
        out[i] = (unsigned char)byte;
    }
    return n;
}

static size_t floats_of(json_t *json, float *out)
{
    size_t n = json_array_size(json);
    CHECK(n && n <= MAX_FLOATS, "%zu floats", n);
    for (size_t i = 0; i < n; i++) out[i] = (float)json_number_value(json_array_get(json, i));
    return n;
}

static const struct quant_type *type_of(json_t *item)
{
    const char *name = json_string_value(json_object_get(item, "type"));
    const struct quant_type *type = quant_type_named(name);
    CHECK(type, "%s is not known", name);
    CHECK(quant_type_of((uint32_t)type->type) == type, "%s has two numbers", name);
    return type;
}

static void test_decode(json_t *item)
{
    unsigned char bytes[MAX_BYTES];
    float want[MAX_FLOATS], got[MAX_FLOATS];
    const struct quant_type *type = type_of(item);
    size_t n_bytes = bytes_of(json_object_get(item, "bytes"), bytes);
    size_t n = floats_of(json_object_get(item, "floats"), want);
    CHECK_INT(n_bytes / (size_t)type->bytes, n / (size_t)type->block);
    quant_decode(type, bytes, n, got);
    for (size_t i = 0; i < n; i++) CHECK_NEAR(got[i], want[i], 2e-6 * fabs((double)want[i]) + 1e-7);
}

static void test_encode(json_t *item)
{
    unsigned char want[MAX_BYTES], got[MAX_BYTES];
    float x[MAX_FLOATS];
    const struct quant_type *type = type_of(item);
    size_t n = floats_of(json_object_get(item, "floats"), x);
    size_t n_bytes = bytes_of(json_object_get(item, "bytes"), want);
    quant_encode(type, x, n, got);
    for (size_t i = 0; i < n_bytes; i++)
        CHECK(got[i] == want[i], "%s byte %zu: %02x, want %02x", type->name, i, got[i], want[i]);
}

/* By hand: 1 bit of sign, 5 of exponent with bias 15, 10 of fraction. */
static void test_halves(void)
{
    CHECK_NEAR(half_to_float(0x3c00), 1, 0);
    CHECK_NEAR(half_to_float(0xc000), -2, 0);
    CHECK_NEAR(half_to_float(0x7bff), 65504, 0);
    CHECK_NEAR(half_to_float(0x0001), 0x1p-24, 0);
    CHECK_NEAR(half_to_float(0x83ff), -1023 * 0x1p-24, 0);
    CHECK(isinf(half_to_float(0x7c00)) && isnan(half_to_float(0x7e00)), "infinity and NaN");
    CHECK_INT(float_to_half(65519.99f), 0x7bff);
    CHECK_INT(float_to_half(65520.0f), 0x7c00);
    CHECK_INT(float_to_half(1.0f + 0x1p-11f), 0x3c00); /* a tie goes to even */
    CHECK_INT(float_to_half(1.0f + 3 * 0x1p-11f), 0x3c02);
    CHECK_INT(float_to_half(0x1p-25f), 0);
    CHECK_INT(float_to_half(0x1.8p-25f), 1);
    for (uint32_t h = 0; h < 0x10000; h++) {
        if ((h & 0x7c00) == 0x7c00 && (h & 0x3ff)) continue; /* NaN */
        CHECK_INT(float_to_half(half_to_float((uint16_t)h)), h);
    }
}

static void test_bfloats(void)
{
    CHECK_NEAR(bfloat_to_float(0x3f80), 1, 0);
    CHECK_INT(float_to_bfloat(1.0f + 0x1p-8f), 0x3f80);
    CHECK_INT(float_to_bfloat(1.0f + 3 * 0x1p-8f), 0x3f82);
    CHECK_INT(float_to_bfloat(-0.0f), 0x8000);
    CHECK(isnan(bfloat_to_float(float_to_bfloat(NAN))), "NaN stays");
}

int main(void)
{
    char path[600];
    const char *source = getenv("LATHE_SOURCE_DIR");
    if (!source) SKIP("LATHE_SOURCE_DIR is not set; run through ctest");
    snprintf(path, sizeof path, "%s/tests/golden/quants.json", source);
    json_t *json = json_load_file(path, 0, NULL), *item;
    size_t i;
    CHECK(json_array_size(json_object_get(json, "decode")) == 8, "%s", path);
    json_array_foreach(json_object_get(json, "decode"), i, item) test_decode(item);
    json_array_foreach(json_object_get(json, "encode"), i, item) test_encode(item);
    json_decref(json);
    test_halves();
    test_bfloats();
    puts("ok");
    return 0;
}
