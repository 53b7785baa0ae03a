/* safetensors: what we write we read back, the golden files read, and broken files get a sentence. */
#include "tests/support/check.h"
#include <unistd.h>
#include "trainer/formats/file.h"
#include "trainer/formats/safetensors.h"

static char dir[] = "/tmp/lathe-safetensors-XXXXXX";

static size_t build(unsigned char *to, const char *header, size_t data)
{
    size_t n = strlen(header);
    memset(to, 0, 8);
    to[0] = (unsigned char)n;
    to[1] = (unsigned char)(n >> 8);
    memcpy(to + 8, header, n);
    memset(to + 8 + n, 1, data);
    return 8 + n + data;
}

static void refuses(const char *header, size_t data, const char *sentence)
{
    unsigned char file[4096];
    struct error err = { 0 };
    struct safetensors *st;
    size_t len = build(file, header, data);
    CHECK(safetensors_parse(&st, file, len, "m", &err), "accepted %s", header);
    CHECK(err.status == E_INPUT && strstr(err.text, sentence), "%s: '%s' lacks '%s'", header, err.text,
          sentence);
}

static void test_broken(void)
{
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "need 8");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "belong to none");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "behind the end");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
            "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "before the end");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, "outside 0..3");
    refuses("{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a/dtype: is F31");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
            "overflows");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}", 0, "outside 0");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "span -4");
    refuses("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "a/shape: is missing");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, "a/x");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
            "at most 8");
    refuses("{\"a\":7}", 0, "a: is not an object");
    refuses("{\"a\":{},\"a\":{}}", 0, "duplicate");
    refuses("{\"__metadata__\":{\"k\":1}}", 0, "__metadata__/k: is not a string");
    refuses("{\"\xff\":{}}", 0, "not JSON");
    refuses("[1]", 0, "start with '{'");
    refuses("{", 0, "not JSON");
    refuses("", 0, "start with '{'");

    struct error err = { 0 };
    struct safetensors *st;
    CHECK(safetensors_parse(&st, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "m", &err) == E_INPUT &&
          strstr(err.text, "the file ends"), "%s", err.text);
    err = (struct error){ 0 };
    CHECK(safetensors_parse(&st, "abc", 3, "m", &err) == E_INPUT, "%s", err.text);
}

static void test_cut(void)
{
    unsigned char file[512];
    const char *header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  ";
    size_t len = build(file, header, 8);
    for (size_t cut = 0; cut < len; cut++) {
        unsigned char *copy = malloc(cut + 1);
        struct error err = { 0 };
        struct safetensors *st;
        memcpy(copy, file, cut);
        CHECK(safetensors_parse(&st, copy, cut, "m", &err) == E_INPUT, "cut at %zu accepted", cut);
        free(copy);
    }
}

static void test_round_trip(void)
{
    const float w[6] = { 1, -2.5f, 3e-40f, 4, 5, 6 };
    const uint16_t half[4] = { 0x3c00, 0xc000, 0x0001, 0x7bff }, brain[2] = { 0x3f80, 0xc040 };
    struct tensor t[] = {
        { .name = "h", .type = TENSOR_F16, .rank = 1, .dim = { 4 }, .bytes = (const void *)half },
        { .name = "w", .type = TENSOR_F32, .rank = 2, .dim = { 2, 3 }, .bytes = (const void *)w },
        { .name = "b", .type = TENSOR_BF16, .rank = 2, .dim = { 1, 2 }, .bytes = (const void *)brain },
        { .name = "e", .type = TENSOR_F32, .rank = 2, .dim = { 0, 3 } },
        { .name = "s", .type = TENSOR_F32, .rank = 0, .bytes = (const void *)w },
    };
    const char *metadata[] = { "format", "pt", NULL };
    char path[256], sha[HASH_HEX], again[HASH_HEX];
    uint64_t size;
    struct error err = { 0 };
    struct safetensors *st;
    snprintf(path, sizeof path, "%s/m.safetensors", dir);
    CHECK_OK(safetensors_write(path, t, 5, metadata, NULL, sha, &err), err);
    CHECK_OK(file_digest(path, &size, again, &err), err);
    CHECK_STR(again, sha);
    CHECK_OK(safetensors_open(&st, path, &err), err);
    CHECK_INT(safetensors_count(st), 5);
    CHECK_STR(safetensors_metadata(st, "format"), "pt");
    CHECK(!safetensors_find(st, "x") && !safetensors_metadata(st, "x"), "found what is not there");

    float got[6];
    CHECK_OK(tensor_floats(safetensors_find(st, "w"), got, &err), err);
    CHECK(!memcmp(got, w, sizeof w), "w differs");
    CHECK_OK(tensor_floats(safetensors_find(st, "h"), got, &err), err);
    CHECK(got[0] == 1 && got[1] == -2 && got[2] == 0x1p-24f && got[3] == 65504, "f16");
    CHECK_OK(tensor_floats(safetensors_find(st, "b"), got, &err), err);
    CHECK(got[0] == 1 && got[1] == -3, "bf16");
    CHECK_OK(tensor_expect(safetensors_find(st, "w"), 2, 3, &err), err);
    CHECK(tensor_expect(safetensors_find(st, "w"), 3, 2, &err) == E_INPUT, "wrong shape accepted");
    safetensors_close(st);
}

static void test_golden(void)
{
    const char *shared = getenv("LATHE_SHARED_DIR");
    char path[512];
    snprintf(path, sizeof path, "%s/golden/llama_gqa_tied/model/model.safetensors", shared ? shared : "");
    if (access(path, R_OK)) {
        printf("no golden files: part skipped\n");
        return;
    }
    struct error err = { 0 };
    struct safetensors *st;
    CHECK_OK(safetensors_open(&st, path, &err), err);
    const struct tensor *t = safetensors_need(st, "model.embed_tokens.weight", &err);
    CHECK(t && !tensor_expect(t, 97, 48, &err), "%s", err.text);
    CHECK_INT(safetensors_count(st), 3 * 9 + 2);
    safetensors_close(st);
}

int main(void)
{
    CHECK(mkdtemp(dir), "mkdtemp");
    test_broken();
    test_cut();
    test_round_trip();
    test_golden();
    struct error err = { 0 };
    CHECK_OK(dir_remove(dir, &err), err);
    puts("ok");
    return 0;
}
