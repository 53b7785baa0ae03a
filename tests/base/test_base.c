#include "search/base/arena.h"
#include "search/base/emit.h"
#include "search/base/field.h"
#include "search/base/hash.h"
#include "search/base/rng.h"
#include "search/base/sample.h"
#include "tests/support/check.h"

static void test_arena_has_a_ceiling(void)
{
    struct arena a;
    arena_init(&a, 1000);
    CHECK(arena_alloc(&a, (size_t)-1, 8) == NULL, "overflow is refused");
    CHECK(arena_alloc(&a, 1, 900) != NULL, "fits");
    CHECK(arena_alloc(&a, 1, 200) == NULL, "the ceiling holds");
    arena_release(&a);
}

static void test_buf_fails_once_and_stays(void)
{
    struct buf b;
    buf_init(&b, 5);
    buf_puts(&b, "abc");
    buf_puts(&b, "def");
    buf_puts(&b, "g");
    CHECK(b.failed, "past the ceiling");
    CHECK_STR(b.bytes, "abc");
    buf_release(&b);
}

static void number_is(double value, const char *want)
{
    char text[48];
    emit_number_text(text, value);
    CHECK_STR(text, want);
}

static void test_numbers_are_rfc_8785(void)
{
    number_is(0, "0");
    number_is(-0.0, "0");
    number_is(1e-5, "0.00001");
    number_is(1e-7, "1e-7");
    number_is(100000, "100000");
    number_is(1e21, "1e+21");
    number_is(123456789012345680000.0, "123456789012345680000");
    number_is(0.1, "0.1");
    number_is(-1.5e-9, "-1.5e-9");
    number_is(333333333.33333329, "333333333.3333333");
}

/* The fewest digits: one fewer does not read back. */
static void test_numbers_are_shortest(void)
{
    struct rng rng;
    rng_init(&rng, 7);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = rng_next(&rng);
        double value;
        char text[48], fewer[48];
        memcpy(&value, &bits, sizeof value);
        if (i % 2)
            value = (double)(int64_t)rng_below(&rng, 1000000) / (double)(1 + rng_below(&rng, 1000));
        if (i % 64 == 0) value = ldexp(rng_uniform(&rng), -1060);
        if (!isfinite(value) || value == 0) continue;
        emit_number_text(text, value);
        CHECK(strtod(text, NULL) == value, "%.17g reads back from %s", value, text);
        int digits = 0;
        const char *first = text + strspn(text, "-0.");
        for (const char *p = first; *p && *p != 'e'; p++) digits += *p != '.';
        while (digits > 1 && !strpbrk(text, "e.") && text[strlen(text) - 1] == '0' &&
               first[digits - 1] == '0')
            digits--;
        if (digits < 2) continue;
        snprintf(fewer, sizeof fewer, "%.*e", digits - 2, value);
        CHECK(strtod(fewer, NULL) != value, "%s is not the shortest, %s is", text, fewer);
    }
}

/* Eight bytes at a time or one: the same text, wherever the odd byte stands. */
static void test_strings_of_any_length(void)
{
    static const char *const odd[] = { "\"", "\\", "\n", "\x7f", "\xc3\xa9", "\xff", "\x1f", " " };
    static const char *const want[] = { "\\\"",     "\\\\",         "\\n",     "\x7f",
                                        "\xc3\xa9", "\xef\xbf\xbd", "\\u001f", " " };
    for (size_t at = 0; at < 20; at++)
        for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
            char text[64] = "", line[96];
            struct buf b;
            struct emit e;
            snprintf(text, sizeof text, "%.*s%s%s", (int)at, "abcdefghijklmnopqrst", odd[k],
                     "tail");
            snprintf(line, sizeof line, "\"%.*s%s%s\"", (int)at, "abcdefghijklmnopqrst", want[k],
                     "tail");
            buf_init(&b, strlen(line)); /* and exactly that fits */
            emit_init(&e, &b);
            emit_string(&e, text);
            CHECK(!b.failed, "%s does not fit", line);
            CHECK_STR(b.bytes, line);
            emit_int(&e, 1);
            CHECK(b.failed, "more fits than may");
            buf_release(&b);
        }
}

static void test_emit_escapes(void)
{
    struct buf b;
    struct emit e;
    buf_init(&b, 1000);
    emit_init(&e, &b);
    emit_begin(&e, '{');
    emit_kv_string(&e, "a", "q\"\\\n\x01\xff\xc3\xa9");
    emit_key(&e, "b");
    emit_begin(&e, '[');
    emit_int(&e, -1);
    emit_double(&e, NAN);
    emit_end(&e);
    emit_kv_bool(&e, "c", true);
    emit_end(&e);
    CHECK_STR(b.bytes,
              "{\"a\":\"q\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\",\"b\":[-1,null],\"c\":true}");
    buf_release(&b);
}

static void refuses(const char *json, const char *pointer, const char *text)
{
    static const char *const colours[] = { "red", "green", NULL };
    struct error err = { 0 };
    struct field root, inner, list;
    json_t *doc = field_parse(json, strlen(json), &err);
    CHECK(doc, "%s", err.text);
    field_root(&root, doc, &err);
    field_int(&root, "n", 1, 9);
    field_choice_or(&root, "colour", colours, 0);
    if (field_object(&root, "o", &inner)) {
        size_t n = field_array(&inner, "list", 3, &list);
        for (size_t i = 0; i < n; i++) field_item_int(&list, i, 0, 5);
        field_end(&inner);
    }
    CHECK(field_end(&root) == E_INPUT, "%s is refused", json);
    CHECK_STR(err.text, text);
    CHECK_STR(err.pointer, pointer);
    json_decref(doc);
}

static void test_fields_name_what_is_wrong(void)
{
    refuses("{}", "/n", "n: is missing");
    refuses("{\"n\":10}", "/n", "n: is 10, outside 1..9");
    refuses("{\"n\":1.5}", "/n", "n: is not a whole number");
    refuses("{\"n\":1,\"colour\":\"blue\"}", "/colour", "colour: is not one of: red, green");
    refuses("{\"n\":1,\"o\":{\"list\":[1,6]}}", "/o/list/1", "o/list/1: is 6, outside 0..5");
    refuses("{\"n\":1,\"o\":{\"x/y\":1}}", "/o/x~1y", "o/x~1y: is not a known field");
}

static void test_deep_json_is_refused(void)
{
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    struct error err = { 0 };
    CHECK(!field_parse(deep, sizeof deep, &err), "100 levels");
    CHECK_STR(err.text, "the JSON is nested more than 32 deep");
}

static void test_hash_and_rng_are_known(void)
{
    char hex[HASH_HEX];
    hash_hex("abc", 3, hex);
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    /* First output of SplitMix64 seeded with 0, from its author's reference code. */
    CHECK(rng_mix(0, 0) == 0xe220a8397b1dcdafull, "%llx", (unsigned long long)rng_mix(0, 0));
    struct rng a, b;
    rng_init(&a, 7);
    rng_init(&b, 7);
    for (int i = 0; i < 100; i++) CHECK(rng_below(&a, 10) == rng_below(&b, 10), "streams repeat");
}

static void test_the_middle_of_a_sample(void)
{
    double odd[] = { 3, -1, 2 }, even[] = { 4, 1, 3, 2 };
    CHECK(sample_median(odd, 3) == 2 && odd[0] == -1, "the middle, and sorted");
    CHECK(sample_median(even, 4) == 2.5, "between the two in the middle");
    CHECK(sample_median(odd, 0) == 0, "of nothing");
}

int main(void)
{
    test_arena_has_a_ceiling();
    test_buf_fails_once_and_stays();
    test_numbers_are_rfc_8785();
    test_numbers_are_shortest();
    test_strings_of_any_length();
    test_emit_escapes();
    test_fields_name_what_is_wrong();
    test_deep_json_is_refused();
    test_hash_and_rng_are_known();
    test_the_middle_of_a_sample();
    printf("ok\n");
    return 0;
}
