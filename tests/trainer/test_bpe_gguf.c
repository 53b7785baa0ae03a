/* Tokenizers inside GGUF files: what llama.cpp takes for granted where a key is missing. */
#include "tests/support/check.h"
#include "trainer/data/bpe_gguf.h"
#include "trainer/data/tokenizer.h"

static char dir[] = "/tmp/lathe-bpe-gguf-XXXXXX";

/* Five tokens: <unk> <s> | a b. `pre` NULL: of characters with scores. `add_bos` -1: not said. */
static struct tokenizer *read_back(const char *pre, int add_bos)
{
    static const char *const tokens[] = { "<unk>", "<s>", "\xe2\x96\x81", "a", "b" };
    static const int32_t types[] = { 2, 3, 1, 1, 1 };
    static const float scores[5] = { 0 };
    char path[64];
    struct gguf_out out;
    struct error err = { 0 };
    struct tokenizer *t;
    gguf_out_init(&out);
    gguf_put_string(&out, "tokenizer.ggml.model", pre ? "gpt2" : "llama");
    if (pre) gguf_put_string(&out, "tokenizer.ggml.pre", pre);
    gguf_put_strings(&out, "tokenizer.ggml.tokens", 5);
    for (int i = 0; i < 5; i++) gguf_put_item(&out, tokens[i], strlen(tokens[i]));
    gguf_put_i32s(&out, "tokenizer.ggml.token_type", types, 5);
    if (pre)
        gguf_put_strings(&out, "tokenizer.ggml.merges", 0);
    else
        gguf_put_f32s(&out, "tokenizer.ggml.scores", scores, 5);
    gguf_put_u32(&out, "tokenizer.ggml.bos_token_id", 1);
    if (add_bos >= 0) gguf_put_bool(&out, "tokenizer.ggml.add_bos_token", add_bos);
    snprintf(path, sizeof path, "%s/model.gguf", dir);
    gguf_out_start(&out, path, &err);
    CHECK_OK(gguf_out_finish(&out, NULL, &err), err);
    CHECK_OK(tokenizer_gguf(&t, path, &err), err);
    return t;
}

static void check_bos(const char *pre, int add_bos, int want)
{
    struct tokenizer *t = read_back(pre, add_bos);
    CHECK(tokenizer_bpe_of(t)->bos == want, "%s begins texts with %d", pre ? pre : "llama",
          tokenizer_bpe_of(t)->bos);
    tokenizer_close(t);
}

static void test_unknown_is_whole(void)
{
    static const int want[] = { 2, 3, 0, 2, 4 }; /* what is behind a whole token is a text again */
    struct tokenizer *t = read_back(NULL, -1);
    struct error err = { 0 };
    struct ids ids = { 0 };
    CHECK_OK(t->encode(t, "a<unk>b", 7, &ids, &err), err);
    CHECK_INT(ids.n, 5);
    for (int i = 0; i < 5; i++) CHECK_INT(ids.id[i], want[i]);
    ids_release(&ids);
    tokenizer_close(t);
}

int main(void)
{
    struct error err = { 0 };
    CHECK(mkdtemp(dir), "mkdtemp");
    check_bos(NULL, -1, 1);
    check_bos(NULL, 0, -1);
    check_bos("llama-bpe", -1, 1);
    check_bos("llama-v3", -1, 1);
    check_bos("llama-bpe", 0, -1);
    check_bos("gpt-2", -1, -1);
    check_bos("qwen2", -1, -1);
    check_bos("qwen2", 1, 1);
    test_unknown_is_whole();
    CHECK_OK(dir_remove(dir, &err), err);
    puts("ok");
    return 0;
}
