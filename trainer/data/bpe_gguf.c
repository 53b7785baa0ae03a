#include "trainer/data/bpe_gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/data/bpe_family.h"
#include "trainer/data/bpe_scores.h"
#include "trainer/formats/gguf.h"

enum token_type { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };

struct reading {
    struct bpe *bpe;
    const struct gguf *g;
    const struct gguf_key *tokens, *types, *scores;
    bool adds_bos; /* when the file does not say */
    struct error *err;
};

/* ---- tokens -------------------------------------------------------------------------------- */

static const struct gguf_key *array_of(struct reading *r, const char *name, enum gguf_type type,
                                       size_t n)
{
    const struct gguf_key *key = gguf_key(r->g, name);
    if (!key || r->err->status) return NULL;
    bool right = key->is_array && key->type == type && (!n || key->n == n);
    if (!right)
        fail(r->err, E_INPUT, "key %s is not an array of %zu values of type %d", name, n,
             (int)type);
    return right ? key : NULL;
}

static enum status find_arrays(struct reading *r)
{
    r->tokens = array_of(r, "tokenizer.ggml.tokens", GGUF_STRING, 0);
    if (!r->tokens) return fail(r->err, E_INPUT, "key tokenizer.ggml.tokens is missing");
    r->types = array_of(r, "tokenizer.ggml.token_type", GGUF_I32, r->tokens->n);
    r->scores = array_of(r, "tokenizer.ggml.scores", GGUF_F32, r->tokens->n);
    return r->err->status;
}

static enum status add_token(struct reading *r, int id, struct gguf_text text)
{
    int64_t type = r->types ? gguf_int_at(r->types, (size_t)id) : NORMAL;
    if (!text.len) return OK; /* a hole */
    if (memchr(text.bytes, 0, text.len))
        return fail(r->err, E_INPUT, "token %d has a NUL inside", id);
    TRY(bpe_vocab_add(&r->bpe->vocab, id, text.bytes, text.len, r->err));
    if (type == UNKNOWN) r->bpe->unknown = id;
    if (type == CONTROL || type == USER_DEFINED || type == UNKNOWN)
        return bpe_add_whole(r->bpe, id, text.bytes, text.len, type != USER_DEFINED, r->err);
    return OK;
}

static enum status add_tokens(struct reading *r)
{
    const unsigned char *at = r->tokens->bytes;
    for (size_t i = 0; i < r->tokens->n; i++)
        if (add_token(r, (int)i, gguf_next_string(&at)))
            return fail_in(r->err, "tokenizer.ggml.tokens");
    return OK;
}

/* ---- rules --------------------------------------------------------------------------------- */

static enum status add_merges(struct reading *r)
{
    const struct gguf_key *merges = array_of(r, "tokenizer.ggml.merges", GGUF_STRING, 0);
    TRY(r->err->status);
    if (!merges) return fail(r->err, E_INPUT, "key tokenizer.ggml.merges is missing");
    const unsigned char *at = merges->bytes;
    for (size_t i = 0; i < merges->n; i++) {
        struct gguf_text text = gguf_next_string(&at);
        const char *space = text.len > 1 ? memchr(text.bytes + 1, ' ', text.len - 1) : NULL;
        if (!space || text.len > BPE_MAX_TOKEN_BYTES)
            return fail(r->err, E_INPUT, "tokenizer.ggml.merges: merge %zu is not \"a b\"", i);
        size_t n = (size_t)(space - text.bytes);
        TRY(bpe_add_rule(r->bpe, text.bytes, n, space + 1, text.len - n - 1, (uint32_t)i, r->err));
    }
    return OK;
}

static bool is_plain(const struct reading *r, size_t id)
{
    return !r->types || gguf_int_at(r->types, id) == NORMAL;
}

static enum status add_scores(struct reading *r)
{
    if (!r->scores) return fail(r->err, E_INPUT, "key tokenizer.ggml.scores is missing");
    struct bpe_scored *list = calloc(r->tokens->n + 1, sizeof *list);
    size_t n = 0;
    if (!list) abort();
    for (size_t i = 0; i < r->tokens->n; i++)
        if (is_plain(r, i))
            list[n++] = (struct bpe_scored){ (float)gguf_double_at(r->scores, i), (int)i };
    bpe_rules_from_scores(r->bpe, list, n);
    free(list);
    return OK;
}

/* ---- the two models ------------------------------------------------------------------------ */

static enum status read_gpt2(struct reading *r)
{
    static const struct {
        const char *pre;
        enum bpe_family family;
    } known[] = { { "gpt-2", BPE_GPT2 },    { "gpt2", BPE_GPT2 },
                  { "smollm", BPE_SMOLLM }, { "starcoder", BPE_SMOLLM },
                  { "qwen2", BPE_QWEN2 },   { "llama-bpe", BPE_LLAMA3 },
                  { "llama3", BPE_LLAMA3 }, { "llama-v3", BPE_LLAMA3 } };
    char pre[64];
    gguf_string(r->g, "tokenizer.ggml.pre", pre, sizeof pre, r->err);
    TRY(r->err->status);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(pre, known[i].pre)) continue;
        r->adds_bos = known[i].family == BPE_LLAMA3;
        TRY(bpe_set_family(r->bpe, known[i].family, r->err));
        TRY(add_tokens(r));
        return add_merges(r);
    }
    return fail(r->err, E_INPUT,
                "key tokenizer.ggml.pre is '%s'; gpt-2, smollm, qwen2 and llama-bpe can be read",
                pre);
}

static enum status read_llama(struct reading *r)
{
    r->bpe->fuse_unknown = r->adds_bos = true;
    bool prefix = gguf_int_or(r->g, "tokenizer.ggml.add_space_prefix", 0, 1, 1, r->err) != 0;
    TRY(bpe_use_meta_spaces(r->bpe, prefix, r->err));
    TRY(add_tokens(r));
    return add_scores(r);
}

static int id_of(struct reading *r, const char *name)
{
    return (int)gguf_int_or(r->g, name, 0, (int64_t)r->tokens->n - 1, -1, r->err);
}

static enum status read_all(struct reading *r)
{
    char model[64];
    gguf_string(r->g, "tokenizer.ggml.model", model, sizeof model, r->err);
    TRY(r->err->status);
    if (!*model || !strcmp(model, "no_vocab") || !strcmp(model, "none"))
        return fail(r->err, E_MISSING, "the file holds no tokenizer (key tokenizer.ggml.model)");
    TRY(find_arrays(r));
    if (!strcmp(model, "gpt2"))
        TRY(read_gpt2(r));
    else if (!strcmp(model, "llama"))
        TRY(read_llama(r));
    else
        return fail(r->err, E_INPUT, "key tokenizer.ggml.model is '%s'; gpt2 and llama can be read",
                    model);
    if (gguf_int_or(r->g, "tokenizer.ggml.add_bos_token", 0, 1, r->adds_bos, r->err))
        r->bpe->bos = id_of(r, "tokenizer.ggml.bos_token_id");
    if (gguf_int_or(r->g, "tokenizer.ggml.add_eos_token", 0, 1, 0, r->err))
        r->bpe->eos = id_of(r, "tokenizer.ggml.eos_token_id");
    TRY(r->err->status);
    return bpe_finish(r->bpe, r->err);
}

enum status bpe_gguf_read(struct bpe *bpe, const struct gguf *g, struct error *err)
{
    struct reading r = { .bpe = bpe, .g = g, .err = err };
    bpe_init(bpe);
    if (read_all(&r)) bpe_release(bpe);
    return err->status;
}
