/* The byte tokenizer: every byte there and back, and a file that opens as what it was. */
#include "tests/support/check.h"
#include <jansson.h>
#include "trainer/data/tokenizer.h"
#include "trainer/formats/file.h"

static void test_bytes(struct tokenizer *t)
{
    char text[512];
    struct ids ids = { 0 };
    struct buf back;
    struct error err = { 0 };
    for (int i = 0; i < 512; i++) text[i] = (char)(i * 7);
    CHECK_OK(t->encode(t, text, sizeof text, &ids, &err), err);
    CHECK_INT(ids.n, 512);
    for (int i = 0; i < 512; i++) CHECK_INT(ids.id[i], (i * 7) & 255);

    buf_init(&back, 4096);
    CHECK_OK(t->decode(t, ids.id, ids.n, &back, &err), err);
    CHECK(back.len == 512 && !memcmp(back.bytes, text, 512), "decode differs");
    int32_t bad = 257;
    CHECK(t->decode(t, &bad, 1, &back, &err) == E_INPUT, "id 257 decoded");
    buf_release(&back);
    ids_release(&ids);
}

/* All 256 letters are distinct and number their byte: what Hugging Face needs to agree. */
static void test_file(struct tokenizer *t, const char *dir)
{
    char path[PATH_ROOM];
    struct error err = { 0 };
    struct tokenizer *again;
    CHECK_OK(t->save(t, dir, &err), err);
    CHECK_OK(tokenizer_open(&again, dir, &err), err);
    CHECK_STR(again->kind, "bytes");
    CHECK_STR(again->hash, t->hash);
    tokenizer_close(again);

    CHECK_OK(path_join(path, dir, "tokenizer.json", &err), err);
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    json_t *vocab = json_object_get(json_object_get(json, "model"), "vocab");
    CHECK_INT(json_object_size(vocab), 256);
    CHECK_INT(json_integer_value(json_object_get(vocab, "a")), 'a');
    CHECK_INT(json_integer_value(json_object_get(vocab, "\xc4\xa0")), ' '); /* U+0120 */
    json_decref(json);
}

int main(void)
{
    char dir[] = "/tmp/lathe-tokenizer-XXXXXX";
    struct tokenizer *t;
    struct error err = { 0 };
    CHECK(mkdtemp(dir), "mkdtemp");
    tokenizer_bytes(&t);
    CHECK_INT(t->vocab_size, 257);
    CHECK_INT(t->eod, 256);
    test_bytes(t);
    test_file(t, dir);
    tokenizer_close(t);
    CHECK(tokenizer_open(&t, "/nonexistent", &err) == E_MISSING, "%s", err.text);
    err = (struct error){ 0 };
    CHECK_OK(dir_remove(dir, &err), err);
    puts("ok");
    return 0;
}
