#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/data/bpe_gguf.h"
#include "trainer/data/bpe_json.h"
#include "trainer/data/ends.h"

/* How llama.cpp calls the way text is cut; NULL when it has no name for it. */
static const char *pre_of(const struct bpe *bpe)
{
    const struct bpe_step *step = bpe->split.step;
    int n = bpe->split.n;
    if (!bpe->merges.n && !n) return "gpt-2"; /* bytes alone: cutting changes nothing */
    const char *last = n && step[n - 1].regex ? step[n - 1].regex : "";
    if (n == 2 && step[0].kind == BPE_STEP_DIGIT && !strcmp(last, bpe_regex_gpt2)) return "smollm";
    if (n != 1) return NULL;
    if (!strcmp(last, bpe_regex_gpt2)) return "gpt-2";
    if (!strcmp(last, bpe_regex_qwen2)) return "qwen2";
    return strcmp(last, bpe_regex_llama3) ? NULL : "llama-bpe";
}

static bool is_byte_name(const char *text, size_t len)
{
    return len == 6 && !memcmp(text, "<0x", 3) && text[5] == '>';
}

/* 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
static int32_t type_of(const struct bpe *bpe, int id)
{
    size_t len;
    const char *text = bpe_vocab_text(&bpe->vocab, id, &len);
    if (!len) return 5;
    if (id == bpe->unknown) return 2;
    if (bpe->role[id] != BPE_NORMAL) return bpe->role[id] == BPE_SPECIAL ? 3 : 4;
    return bpe->alphabet == BPE_RUNES && is_byte_name(text, len) ? 6 : 1;
}

static void put_tokens(struct gguf_out *out, const struct bpe *bpe, int vocab_size)
{
    int32_t *type = calloc((size_t)vocab_size, sizeof *type);
    if (!type) abort();
    gguf_put_strings(out, "tokenizer.ggml.tokens", (size_t)vocab_size);
    for (int id = 0; id < vocab_size; id++) {
        size_t len;
        char unused[32];
        const char *text = bpe_vocab_text(&bpe->vocab, id, &len);
        type[id] = type_of(bpe, id < bpe->vocab.n ? id : -1);
        if (!len) {
            len = (size_t)snprintf(unused, sizeof unused, "[PAD%d]", id);
            text = unused;
        }
        gguf_put_item(out, text, len);
    }
    gguf_put_i32s(out, "tokenizer.ggml.token_type", type, (size_t)vocab_size);
    free(type);
}

/* ---- rules --------------------------------------------------------------------------------- */

static int by_rank(const void *a, const void *b)
{
    const struct bpe_rule *x = *(const struct bpe_rule *const *)a,
                          *y = *(const struct bpe_rule *const *)b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static void put_merges(struct gguf_out *out, const struct bpe *bpe)
{
    const struct bpe_merges *m = &bpe->merges;
    const struct bpe_rule **rule = calloc(m->n + 1, sizeof(struct bpe_rule *));
    char text[2 * BPE_MAX_TOKEN_BYTES + 1];
    size_t n = 0, a, b;
    if (!rule) abort();
    for (size_t i = 0; m->slot && i <= m->mask; i++)
        if (m->slot[i].joined >= 0) rule[n++] = &m->slot[i];
    qsort(rule, n, sizeof *rule, by_rank);
    gguf_put_strings(out, "tokenizer.ggml.merges", n);
    for (size_t i = 0; i < n; i++) {
        const char *left = bpe_vocab_text(&bpe->vocab, (int)(rule[i]->pair >> 32), &a);
        const char *right = bpe_vocab_text(&bpe->vocab, (int)(rule[i]->pair & 0xffffffff), &b);
        memcpy(text, left, a);
        text[a] = ' ';
        memcpy(text + a + 1, right, b);
        gguf_put_item(out, text, a + 1 + b);
    }
    free(rule);
}

/* A token's score is minus the lowest rank of a rule that makes it; what no rule makes has a score
 * below all of them, so that the order of scores is that of ranks. */
static void put_scores(struct gguf_out *out, const struct bpe *bpe, int vocab_size)
{
    const struct bpe_merges *m = &bpe->merges;
    float *score = calloc((size_t)vocab_size, sizeof *score);
    if (!score) abort();
    for (int id = 0; id < vocab_size; id++) score[id] = -1e9f;
    for (size_t i = 0; m->slot && i <= m->mask; i++) {
        const struct bpe_rule *rule = &m->slot[i];
        if (rule->joined < 0 || rule->joined >= vocab_size) continue;
        if (-(float)rule->rank > score[rule->joined]) score[rule->joined] = -(float)rule->rank;
    }
    gguf_put_f32s(out, "tokenizer.ggml.scores", score, (size_t)vocab_size);
    free(score);
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void put_ids(struct gguf_out *out, const struct bpe *bpe, const struct ends *ends)
{
    int bos = ends->bos >= 0 ? ends->bos : ends->eos;
    if (bos >= 0) gguf_put_u32(out, "tokenizer.ggml.bos_token_id", (uint32_t)bos);
    if (ends->eos >= 0) gguf_put_u32(out, "tokenizer.ggml.eos_token_id", (uint32_t)ends->eos);
    gguf_put_bool(out, "tokenizer.ggml.add_bos_token", bpe->bos >= 0);
}

static enum status put_all(struct gguf_out *out, const struct bpe *bpe, const struct ends *ends,
                           int vocab_size, struct error *err)
{
    bool runes = bpe->alphabet == BPE_RUNES;
    const char *pre = !runes ? pre_of(bpe) : bpe_split_said(&bpe->split) ? NULL : "default";
    if (bpe->vocab.n > vocab_size)
        return fail(err, E_INPUT, "the tokenizer has %d tokens, the model only %d", bpe->vocab.n,
                    vocab_size);
    if (bpe->unigram.score)
        return fail(err, E_INPUT,
                    "the tokenizer is a unigram model; llama.cpp would join by scores instead, to "
                    "other ids; take hf");
    if (!pre)
        return fail(
            err, E_INPUT,
            "llama.cpp has no name for this tokenizer's pre-tokenizer; gpt2, smollm, qwen2 and "
            "llama3 have one");
    gguf_put_string(out, "tokenizer.ggml.model", runes ? "llama" : "gpt2");
    gguf_put_string(out, "tokenizer.ggml.pre", pre);
    put_tokens(out, bpe, vocab_size);
    if (runes)
        put_scores(out, bpe, vocab_size);
    else
        put_merges(out, bpe);
    if (runes) gguf_put_bool(out, "tokenizer.ggml.add_space_prefix", bpe->strip_space);
    if (runes && bpe->unknown >= 0)
        gguf_put_u32(out, "tokenizer.ggml.unknown_token_id", (uint32_t)bpe->unknown);
    put_ids(out, bpe, ends);
    return OK;
}

/* The byte tokenizer is one too, by its file. */
static enum status put_file(struct gguf_out *out, const char *dir, const struct ends *ends,
                            int vocab_size, struct error *err)
{
    char path[PATH_ROOM];
    struct bpe bpe;
    TRY(path_join(path, dir, "tokenizer.json", err));
    TRY(bpe_json_read(&bpe, path, err));
    put_all(out, &bpe, ends, vocab_size, err);
    bpe_release(&bpe);
    return err->status;
}

enum status bpe_gguf_put(struct gguf_out *out, const char *dir, int vocab_size, struct error *err)
{
    struct tokenizer *t;
    struct ends ends;
    TRY(tokenizer_open(&t, dir, err));
    ends_read(&ends, t, dir);
    const struct bpe *bpe = tokenizer_bpe_of(t);
    if (bpe)
        put_all(out, bpe, &ends, vocab_size, err);
    else
        put_file(out, dir, &ends, vocab_size, err);
    tokenizer_close(t);
    return err->status;
}
