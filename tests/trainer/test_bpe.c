/* Byte-pair encodings: ids equal the reference's in every family, texts come back, bad files are
 * refused in words. */
#include <jansson.h>
#include <stdint.h>

#include "search/base/rng.h"
#include "tests/support/check.h"
#include "trainer/data/bpe_bytes.h"
#include "trainer/data/bpe_json.h"
#include "trainer/data/bpe_scan.h"
#include "trainer/data/bpe_sentencepiece.h"
#include "trainer/data/tokenizer.h"
#include "trainer/formats/file.h"

static struct tokenizer *opened(const char *path)
{
    struct error err = { 0 };
    struct tokenizer *t = NULL;
    CHECK_OK(tokenizer_open(&t, path, &err), err);
    return t;
}

static void check_ids(const struct ids *ids, json_t *want, const char *text)
{
    CHECK(ids->n == json_array_size(want), "%zu ids instead of %zu for '%s'", ids->n,
          json_array_size(want), text);
    for (size_t i = 0; i < ids->n; i++)
        CHECK(ids->id[i] == json_integer_value(json_array_get(want, i)), "id %zu of '%s' is %d", i,
              text, ids->id[i]);
}

static void check_decoded(struct tokenizer *t, const struct ids *ids, json_t *want)
{
    struct error err = { 0 };
    struct buf out;
    if (!want || strstr(json_string_value(want), "\xef\xbf\xbd"))
        return; /* lost by the reference */
    buf_init(&out, 1 << 16);
    CHECK_OK(t->decode(t, ids->id, ids->n, &out, &err), err);
    CHECK(out.len == json_string_length(want) &&
              !memcmp(out.len ? out.bytes : "", json_string_value(want), out.len),
          "decoded '%s', want '%s'", out.bytes, json_string_value(want));
    buf_release(&out);
}

static void check_expected(struct tokenizer *t, const char *path)
{
    json_t *cases = json_load_file(path, JSON_ALLOW_NUL, NULL), *item;
    size_t i;
    CHECK(json_array_size(cases) > 10, "%s", path);
    json_array_foreach(cases, i, item)
    {
        struct error err = { 0 };
        struct ids ids = { 0 };
        json_t *text = json_object_get(item, "text");
        CHECK_OK(t->encode(t, json_string_value(text), json_string_length(text), &ids, &err), err);
        check_ids(&ids, json_object_get(item, "ids"), json_string_value(text));
        check_decoded(t, &ids, json_object_get(item, "decoded"));
        ids_release(&ids);
    }
    json_decref(cases);
}

static void test_golden(const char *root, const char *name)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", root, name);
    struct tokenizer *t = opened(path);
    snprintf(path, sizeof path, "%s/%s/expected.json", root, name);
    check_expected(t, path);
    tokenizer_close(t);
}

/* shared/ packs its tokenizers. */
static struct tokenizer *opened_packed(const char *shared, const char *name)
{
    char command[700], file[] = "/tmp/lathe-bpe-XXXXXX";
    int fd = mkstemp(file);
    CHECK(fd >= 0, "mkstemp");
    snprintf(command, sizeof command, "xz -dc '%s/golden/%s/tokenizer.json.xz' > %s", shared, name,
             file);
    struct tokenizer *t = system(command) ? NULL : opened(file);
    remove(file);
    return t;
}

/* ---- random texts ------------------------------------------------------------------------- */

static int random_rune(struct rng *rng)
{
    switch (rng_below(rng, 6)) {
    case 0: return (int)rng_below(rng, 0x80);
    case 1: return "  \n\r\t''stmdrvel"[rng_below(rng, 16)];
    case 2: return (int)(0x80 + rng_below(rng, 0x780));
    case 3: return (int)(0x4e00 + rng_below(rng, 0x5000));
    case 4: return (int)(0x2000 + rng_below(rng, 0x70));
    default: break;
    }
    int rune = (int)rng_below(rng, 0x110000);
    return rune >= 0xd800 && rune < 0xe000 ? 'x' : rune;
}

static void random_text(struct rng *rng, struct buf *out)
{
    buf_clear(out);
    for (uint64_t n = rng_below(rng, 60); n; n--) bpe_put_rune(out, random_rune(rng));
}

static void check_round_trip(struct tokenizer *t, const char *text, size_t len)
{
    struct error err = { 0 };
    struct ids ids = { 0 };
    struct buf back;
    buf_init(&back, 1 << 20);
    CHECK_OK(t->encode(t, text, len, &ids, &err), err);
    CHECK_OK(t->decode(t, ids.id, ids.n, &back, &err), err);
    CHECK(back.len == len && (!len || !memcmp(back.bytes, text, len)), "'%.*s' came back as '%s'",
          (int)len, text, back.bytes);
    buf_release(&back);
    ids_release(&ids);
}

static void test_round_trips(struct tokenizer *t)
{
    struct rng rng;
    struct buf text;
    rng_init(&rng, 20240917);
    buf_init(&text, 1 << 16);
    for (int i = 0; i < 10000; i++) {
        random_text(&rng, &text);
        check_round_trip(t, text.len ? text.bytes : "", text.len);
    }
    for (int i = 0; i < 200; i++) { /* any bytes at all */
        char bytes[64];
        for (size_t k = 0; k < sizeof bytes; k++) bytes[k] = (char)rng_below(&rng, 256);
        check_round_trip(t, bytes, sizeof bytes);
    }
    buf_release(&text);
}

/* ---- scanners against expressions ------------------------------------------------------------ */

static void put_word(void *data, const char *word, size_t len)
{
    buf_put(data, word, len);
    buf_putc(data, '\x7f');
}

/* Characters that all versions of Unicode in use class alike. */
static int settled_rune(struct rng *rng)
{
    static const int odd[] = { 0x85,   0xa0,  0x17f, 0x180e, 0x200b, 0x2003, 0x2028,
                               0x3000, 0x660, 0xb2,  0x2167, 0x301,  0x1f600 };
    uint64_t kind = rng_below(rng, 8);
    if (kind < 5) return (int)(1 + rng_below(rng, 0x7e));
    if (kind == 5) return odd[rng_below(rng, sizeof odd / sizeof *odd)];
    return kind == 6 ? (int)(0xa1 + rng_below(rng, 0x100))
                     : "  \n\r\t''STMDRVEL"[rng_below(rng, 15)];
}

static void test_scanner(const char *regex)
{
    struct error err = { 0 };
    struct bpe_split split = { 0 };
    struct rng rng;
    struct buf text, fast, slow;
    rng_init(&rng, 5);
    buf_init(&text, 1 << 16), buf_init(&fast, 1 << 16), buf_init(&slow, 1 << 16);
    CHECK_OK(bpe_split_add(&split, BPE_STEP_REGEX, regex, &err), err);
    CHECK(split.step[0].scanner != BPE_SCAN_NONE, "%s has no scanner", regex);
    for (int i = 0; i < 5000; i++) {
        buf_clear(&text), buf_clear(&fast), buf_clear(&slow);
        for (uint64_t n = 1 + rng_below(&rng, 30); n; n--) bpe_put_rune(&text, settled_rune(&rng));
        split.no_scanners = false;
        CHECK_OK(bpe_split_run(&split, text.bytes, text.len, put_word, &fast, &err), err);
        split.no_scanners = true;
        CHECK_OK(bpe_split_run(&split, text.bytes, text.len, put_word, &slow, &err), err);
        CHECK_STR(fast.bytes, slow.bytes);
    }
    buf_release(&text), buf_release(&fast), buf_release(&slow);
    bpe_split_release(&split);
}

/* ---- merges against the obvious version ---------------------------------------------------- */

static size_t apply_slowly(const struct bpe_merges *m, int32_t *ids, size_t n)
{
    for (;;) {
        const struct bpe_rule *best = NULL, *rule;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            rule = bpe_merges_find(m, ids[i], ids[i + 1]);
            if (rule && (!best || rule->rank < best->rank)) best = rule, at = i;
        }
        if (!best) return n;
        ids[at] = best->joined;
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
        n--;
    }
}

static void test_merges(void)
{
    struct bpe_merges m = { 0 };
    struct bpe_work work = { 0 };
    struct rng rng;
    int32_t fast[300], slow[300];
    rng_init(&rng, 9);
    for (uint32_t rank = 0; rank < 40; rank++) /* results may be parts of earlier rules */
        bpe_merges_add(&m, (int)rng_below(&rng, 12), (int)rng_below(&rng, 12), rank,
                       (int)rng_below(&rng, 14));
    for (int i = 0; i < 3000; i++) {
        size_t n = 1 + rng_below(&rng, i % 2 ? 40 : 300);
        for (size_t k = 0; k < n; k++) fast[k] = slow[k] = (int32_t)rng_below(&rng, 4);
        size_t n_fast = bpe_merges_apply(&m, &work, fast, n), n_slow = apply_slowly(&m, slow, n);
        CHECK_INT(n_fast, n_slow);
        CHECK(!memcmp(fast, slow, n_fast * sizeof *fast), "the %s differs",
              n > 40 ? "heap" : "scan");
    }
    bpe_merges_release(&m);
    bpe_work_release(&work);
}

/* ---- added tokens are none of the model's ---------------------------------------------------- */

static void becomes(const char *json, const char *text, const int *want, size_t n)
{
    struct error err = { 0 };
    struct tokenizer *t = NULL;
    struct ids ids = { 0 };
    CHECK_OK(tokenizer_bpe(&t, json, strlen(json), &err), err);
    CHECK_OK(t->encode(t, text, strlen(text), &ids, &err), err);
    CHECK(ids.n == n, "%zu ids instead of %zu for '%s'", ids.n, n, text);
    for (size_t i = 0; i < n; i++)
        CHECK(ids.id[i] == want[i], "id %zu of '%s' is %d", i, text, ids.id[i]);
    ids_release(&ids);
    tokenizer_close(t);
}

#define ADDED(text) ",\"added_tokens\":[{\"id\":3,\"content\":\"" text "\",\"single_word\":true}]}"

/* Behind a word character the added token does not count, and nothing else becomes it. */
static void test_added_stay_outside(void)
{
    becomes("{\"model\":{\"byte_fallback\":true,\"vocab\":{\"a\":0,\"<0xC3>\":1,\"<0x85>\":2},"
            "\"merges\":[]}" ADDED("\xc3\x85"),
            "a\xc3\x85", (int[]){ 0, 1, 2 }, 3);
    becomes("{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
            "\"model\":{\"ignore_merges\":true,\"vocab\":{\"a\":0,\"b\":1,\"7\":2},"
            "\"merges\":[]}" ADDED("ab"),
            "ab7", (int[]){ 0, 1, 2 }, 3);
    becomes("{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,"
            "\"vocab\":[[\"<unk>\",0],[\"a\",-1],[\"b\",-2]]}" ADDED("\xc3\xa9"),
            "a\xc3\xa9", (int[]){ 1, 0 }, 2);
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void refused(const char *json, const char *words)
{
    struct bpe bpe = { 0 };
    struct error err = { 0 };
    CHECK(bpe_json_parse(&bpe, json, strlen(json), &err), "accepted: %s", json);
    CHECK(strstr(err.text, words), "'%s' does not say '%s'", err.text, words);
}

#define BYTES "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}"
static void test_refusals(void)
{
    refused("[]", "JSON object");
    refused("{" BYTES "}", "model: is missing");
    refused("{" BYTES ",\"model\":{\"type\":\"Unigram\"}}", "behind ByteLevel");
    refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "no scored text");
    refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", "entry 0 is not");
    refused("{\"model\":{\"type\":\"WordPiece\"}}", "BPE and Unigram");
    refused("{\"model\":{\"vocab\":{\"a\":0}}}", "byte_fallback");
    refused("{\"normalizer\":{\"type\":\"Lowercase\"}}", "normalizer/type: is not one of");
    refused("{\"pre_tokenizer\":{\"type\":\"Metaspace\"}}", "pre_tokenizer/type: is not one of");
    refused("{" BYTES ",\"model\":{\"vocab\":{\"a\":\"b\"}}}", "vocab/a: is not a whole number");
    refused("{" BYTES ",\"model\":{\"vocab\":{\"a\":-1}}}", "token id -1 is outside");
    refused("{" BYTES ",\"model\":{\"vocab\":{\"a\":1,\"b\":1}}}",
            "token id 1 is given to two texts");
    refused("{" BYTES ",\"model\":{\"vocab\":{\"a\":1},\"merges\":[\"a b\"]}}",
            "merge 0 joins 'b', which is not");
    refused("{" BYTES ",\"model\":{\"vocab\":{\"a\":1,\"b\":2},\"merges\":[[\"a\",\"b\"]]}}",
            "makes 'ab', which is not");
    refused("{" BYTES ",\"model\":{\"vocab\":{\"a\":1},\"merges\":[3]}}", "merge 0 is neither");
    refused("{" BYTES ",\"model\":{\"vocab\":{},\"merges\":[]}}", "vocabulary is empty");
    refused("{" BYTES ",\"model\":{\"vocab\":{\"a\":0},\"dropout\":0.1}}",
            "dropout: is not supported");
    refused("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":"
            "\"Isolated\"}}",
            "does not compile");
}

/* A model that is cut off anywhere is refused, or has fewer pieces. */
static void test_sentencepiece_refusals(const char *root)
{
    char path[700], *bytes;
    size_t len;
    struct error err = { 0 };
    snprintf(path, sizeof path, "%s/tokenizer_sentencepiece/tokenizer.model", root);
    CHECK_OK(file_read(&bytes, &len, path, 1 << 20, &err), err);
    for (size_t n = 0; n < len; n += 7) {
        struct bpe bpe;
        struct error why = { 0 };
        if (bpe_sentencepiece_parse(&bpe, bytes, n, &why))
            CHECK(why.text[0], "no words at %zu bytes", n);
        else
            bpe_release(&bpe);
    }
    struct bpe bpe;
    CHECK(bpe_sentencepiece_parse(&bpe, bytes, len / 2, &err), "half of it was enough");

    static const char suffix[] = "\x12\x03\xc0\x01\x01"; /* trainer { 24: true } */
    bytes = realloc(bytes, len + 5);
    memcpy(bytes + len, suffix, 5);
    err = (struct error){ 0 };
    CHECK(bpe_sentencepiece_parse(&bpe, bytes, len + 5, &err) == E_INPUT, "spaces behind words");
    CHECK(strstr(err.text, "a word's space behind it"), "%s", err.text);
    free(bytes);
}

int main(void)
{
    char ours[600];
    const char *source = getenv("LATHE_SOURCE_DIR"), *shared = getenv("LATHE_SHARED_DIR");
    if (!source || !shared) SKIP("LATHE_SOURCE_DIR is not set; run through ctest");
    snprintf(ours, sizeof ours, "%s/tests/golden", source);
    test_merges();
    test_scanner(bpe_regex_gpt2);
    test_scanner(bpe_regex_qwen2);
    test_scanner(bpe_regex_llama3);
    test_added_stay_outside();
    test_refusals();
    test_golden(ours, "tokenizer_qwen2");
    test_golden(ours, "tokenizer_llama3");
    test_golden(ours, "tokenizer_llama2_strings");
    test_golden(ours, "tokenizer_sentencepiece");
    test_golden(ours, "tokenizer_unigram");
    test_sentencepiece_refusals(ours);

    static const char *const names[] = { "tokenizer_gpt2", "tokenizer_smollm_style" };
    for (int i = 0; i < 2; i++) {
        char path[700];
        snprintf(path, sizeof path, "%s/golden/%s/expected.json", shared, names[i]);
        struct tokenizer *t = opened_packed(shared, names[i]);
        if (!t) SKIP("shared/golden is not there: GPT-2 and SmolLM were not compared");
        check_expected(t, path);
        test_round_trips(t);
        tokenizer_close(t);
    }
    puts("ok");
    return 0;
}
