/* Training a byte-pair encoding: the textbook example by hand, the same bytes for the same words,
 * and what is written reads back as the same encoding. */
#include "tests/support/check.h"
#include "trainer/data/bpe_json.h"
#include "trainer/data/bpe_train.h"
#include "trainer/data/bpe_write.h"
#include "trainer/data/tokenizer_train.h"

static void train(struct buf *json, const char *const *texts, int n, int vocab_size)
{
    struct error err = { 0 };
    struct bpe_trainer *t;
    struct bpe_train_options options = { .vocab_size = vocab_size, .family = BPE_SMOLLM };
    int got;
    CHECK_OK(bpe_trainer_open(&t, &options, &err), err);
    for (int i = 0; i < n; i++) CHECK_OK(bpe_trainer_add(t, texts[i], strlen(texts[i]), &err), err);
    CHECK_OK(bpe_trainer_finish(t, json, &got, &err), err);
    CHECK(got <= vocab_size, "%d tokens", got);
    bpe_trainer_close(t);
}

static void check_text(const struct bpe *bpe, int id, const char *want)
{
    size_t len;
    const char *text = bpe_vocab_text(&bpe->vocab, id, &len);
    CHECK(len == strlen(want) && !memcmp(text, want, len), "token %d is '%.*s', want '%s'", id,
          (int)len, text, want);
}

/* Words: abab 3 times, ab twice, " cd" twice. Pairs: ab 8, ba 3, Gc 2, cd 2.
 * Joined: ab (8). Then abab 3; then (Gc, cd with 2 each): c is id 67, G (U+0120) comes later, so
 * (c, d) has the lower ids; then (G, cd). */
static void test_by_hand(void)
{
    static const char *const texts[] = { "abab", "abab", "abab", "ab", "ab", "1 cd", "2 cd" };
    struct buf json;
    struct bpe bpe = { 0 };
    struct error err = { 0 };
    buf_init(&json, 1 << 20);
    train(&json, texts, 7, 300);
    CHECK_OK(bpe_json_parse(&bpe, json.bytes, json.len, &err), err);
    CHECK_INT(bpe_vocab_size(&bpe), 257 + 4);
    check_text(&bpe, 0, "<|endoftext|>");
    check_text(&bpe, 1, "!");
    check_text(&bpe, 257, "ab");
    check_text(&bpe, 258, "abab");
    check_text(&bpe, 259, "cd");
    check_text(&bpe, 260,
               "\xc4\xa0"
               "cd");
    bpe_release(&bpe);
    buf_release(&json);
}

static void test_order_of_texts(void)
{
    static const char *const one[] = { "the cat sat on the mat", "a bat and 12 cats",
                                       "na\xc3\xafve caf\xc3\xa9s" };
    static const char *const two[] = { "na\xc3\xafve caf\xc3\xa9s", "the cat sat on the mat",
                                       "a bat and 12 cats" };
    struct buf a, b;
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    train(&a, one, 3, 280);
    train(&b, two, 3, 280);
    CHECK_STR(a.bytes, b.bytes);
    buf_release(&a);
    buf_release(&b);
}

static void check_same_ids(const struct bpe *a, const struct bpe *b, const char *text)
{
    struct error err = { 0 };
    struct bpe_encoder x, y;
    struct ids one = { 0 }, two = { 0 };
    bpe_encoder_init(&x, a);
    bpe_encoder_init(&y, b);
    CHECK_OK(bpe_encode(&x, text, strlen(text), &one, &err), err);
    CHECK_OK(bpe_encode(&y, text, strlen(text), &two, &err), err);
    CHECK(one.n == two.n && !memcmp(one.id, two.id, one.n * sizeof *one.id), "ids of '%s' differ",
          text);
    ids_release(&one);
    ids_release(&two);
    bpe_encoder_release(&x);
    bpe_encoder_release(&y);
}

/* A file of each family, read, written, read again: the same encoding, and the same bytes from then
 * on. */
static void test_write(const char *source, const char *name)
{
    char path[600];
    struct bpe bpe = { 0 }, again = { 0 };
    struct error err = { 0 };
    struct buf json, twice;
    buf_init(&json, BPE_WRITE_MAX);
    buf_init(&twice, BPE_WRITE_MAX);
    snprintf(path, sizeof path, "%s/tests/golden/%s/tokenizer.json", source, name);
    CHECK_OK(bpe_json_read(&bpe, path, &err), err);
    CHECK_OK(bpe_write(&bpe, &json, &err), err);
    CHECK_OK(bpe_json_parse(&again, json.bytes, json.len, &err), err);
    CHECK_OK(bpe_write(&again, &twice, &err), err);
    CHECK_STR(json.bytes, twice.bytes);
    check_same_ids(&bpe, &again,
                   "a<|im_start|>b  <left> word wordy \xc3\xbcn\xc3\xaf"
                   "code e\xcc\x81 1234 caf\xc3\xa9 \xe6\x97\xa5\n\n x");
    CHECK_INT(bpe.bos, again.bos);
    bpe_release(&bpe);
    bpe_release(&again);
    buf_release(&json);
    buf_release(&twice);
}

static void test_refusals(void)
{
    struct error err = { 0 };
    struct bpe_trainer *t;
    struct bpe_train_options options = { .vocab_size = 256 };
    CHECK(bpe_trainer_open(&t, &options, &err) == E_INPUT, "256 tokens");
    CHECK(strstr(err.text, "256 tokens is outside 257.."), "%s", err.text);
    options.vocab_size = 300;
    err = (struct error){ 0 };
    CHECK_OK(bpe_trainer_open(&t, &options, &err), err);
    struct buf json;
    int n;
    buf_init(&json, 1 << 20);
    CHECK(bpe_trainer_finish(t, &json, &n, &err) == E_INPUT, "no text");
    buf_release(&json);
    bpe_trainer_close(t);
}

/* Forgetting keeps what is frequent. */
static void test_many_words(void)
{
    char word[32];
    struct error err = { 0 };
    struct bpe_trainer *t;
    struct bpe_train_options options = { .vocab_size = 260, .max_words = 100 };
    struct buf json;
    int n;
    buf_init(&json, 1 << 20);
    CHECK_OK(bpe_trainer_open(&t, &options, &err), err);
    for (int i = 0; i < 5000; i++) {
        snprintf(word, sizeof word, "%d zz", i);
        CHECK_OK(bpe_trainer_add(t, word, strlen(word), &err), err);
    }
    CHECK_OK(bpe_trainer_finish(t, &json, &n, &err), err);
    CHECK(strstr(json.bytes, "\"\xc4\xa0zz\":"), "' zz' is no token");
    bpe_trainer_close(t);
    buf_release(&json);
}

static void test_on_files(void)
{
    char path[] = "/tmp/lathe-train-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0, "mkstemp");
    struct error err = { 0 };
    struct tokenizer *t;
    struct build_file file = { .format = DOCUMENT_JSONL };
    struct build_spec spec = { .name = "x", .file = &file, .n_files = 1, .seed = 1 };
    struct bpe_train_options options = { .vocab_size = 262, .family = BPE_GPT2 };
    static const char text[] = "{\"text\": \"to be or not to be\"}\n{\"text\": \"to be\"}\n";
    CHECK_OK(file_write(path, text, strlen(text), &err), err);
    snprintf(file.path, sizeof file.path, "%s", path);
    CHECK_OK(tokenizer_train(&t, &spec, &options, NULL, &err), err);
    CHECK_INT(t->vocab_size, 257 + 3); /* "be", " be" and "to"; nothing else is there twice */
    CHECK_INT(t->eod, 0);
    tokenizer_close(t);
    remove(path);
}

int main(void)
{
    const char *source = getenv("LATHE_SOURCE_DIR");
    if (!source) SKIP("LATHE_SOURCE_DIR is not set; run through ctest");
    test_by_hand();
    test_order_of_texts();
    test_write(source, "tokenizer_qwen2");
    test_write(source, "tokenizer_llama3");
    test_write(source, "tokenizer_llama2_strings");
    test_refusals();
    test_many_words();
    test_on_files();
    puts("ok");
    return 0;
}
