#include "trainer/data/bpe_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/base/field.h"
#include "trainer/formats/file.h"

/* ---- the model ------------------------------------------------------------------------------ */

static void read_vocab(struct field *model, struct bpe *bpe)
{
    struct field vocab;
    const char *text;
    json_t *id;
    if (!field_object(model, "vocab", &vocab)) {
        field_fail(model, "vocab", "is missing");
        return;
    }
    void *at = json_object_iter(vocab.json);
    for (; at && !model->err->status; at = json_object_iter_next(vocab.json, at)) {
        text = json_object_iter_key(at);
        id = json_object_iter_value(at);
        if (!json_is_integer(id))
            field_fail(&vocab, text, "is not a whole number");
        else if (*text &&
                 bpe_vocab_add(&bpe->vocab, json_integer_value(id), text, strlen(text), model->err))
            fail_in(model->err, "vocab");
    }
}

static void read_merge(struct field *merges, size_t i, struct bpe *bpe)
{
    json_t *item = json_array_get(merges->json, i);
    const char *left = json_string_value(item), *right;
    size_t n_left;
    if (left) {
        right = strchr(left, ' ');
        n_left = right ? (size_t)(right++ - left) : 0;
    } else {
        left = json_string_value(json_array_get(item, 0));
        right = json_string_value(json_array_get(item, 1));
        n_left = left ? strlen(left) : 0;
    }
    if (!left || !right || n_left > BPE_MAX_TOKEN_BYTES || strlen(right) > BPE_MAX_TOKEN_BYTES)
        fail(merges->err, E_INPUT, "merge %zu is neither \"a b\" nor [\"a\", \"b\"]", i);
    else
        bpe_add_rule(bpe, left, n_left, right, strlen(right), (uint32_t)i, merges->err);
}

static void read_merges(struct field *model, struct bpe *bpe)
{
    struct field merges;
    size_t n = field_array(model, "merges", BPE_JSON_MAX_MERGES, &merges);
    for (size_t i = 0; i < n && !model->err->status; i++) read_merge(&merges, i, bpe);
}

static void read_unknown(struct field *model, struct bpe *bpe)
{
    const char *unknown = field_string_or(model, "unk_token", BPE_MAX_TOKEN_BYTES, NULL);
    if (!unknown) return;
    bpe->unknown = bpe_vocab_find(&bpe->vocab, unknown, strlen(unknown));
    if (bpe->unknown < 0) field_fail(model, "unk_token", "is not in the vocabulary");
}

static void refuse_affix(struct field *model, const char *key)
{
    const char *text = field_string_or(model, key, BPE_MAX_TOKEN_BYTES, NULL);
    if (text && *text) field_fail(model, key, "is not supported (it is '%.20s')", text);
}

static void read_scored(struct field *vocab, int id, struct bpe *bpe)
{
    json_t *pair = json_array_get(vocab->json, (size_t)id);
    const char *text = json_string_value(json_array_get(pair, 0));
    json_t *score = json_array_get(pair, 1);
    if (!text || !json_is_number(score) || fabs(json_number_value(score)) > 1e30) {
        fail(vocab->err, E_INPUT, "vocab: entry %d is not [\"text\", score]", id);
        return;
    }
    int twin = bpe_vocab_find(&bpe->vocab, text, strlen(text));
    if (twin >= 0)
        fail(vocab->err, E_INPUT, "vocab: entries %d and %d have the same text", twin, id);
    if (!*text || bpe_vocab_add(&bpe->vocab, id, text, strlen(text), vocab->err)) return;
    bpe_unigram_set(&bpe->unigram, id, json_number_value(score));
}

static void read_unigram(struct field *model, struct bpe *bpe, bool byte_level)
{
    struct field vocab;
    if (byte_level)
        field_fail(model, "type", "is Unigram behind ByteLevel, which is not supported");
    bpe->byte_fallback = field_bool_or(model, "byte_fallback", false);
    bpe->alphabet = BPE_RUNES;
    bpe->fuse_unknown = true;
    bpe->unknown = (int)field_int_or(model, "unk_id", 0, BPE_MAX_TOKENS - 1, -1);
    size_t n = field_array(model, "vocab", BPE_MAX_TOKENS, &vocab);
    for (int id = 0; id < (int)n && !model->err->status; id++) read_scored(&vocab, id, bpe);
    if (!bpe->unigram.score) field_fail(model, "vocab", "has no scored text");
    size_t len;
    bpe_vocab_text(&bpe->vocab, bpe->unknown, &len);
    if (bpe->unknown >= 0 && !len) field_fail(model, "unk_id", "is not in the vocabulary");
}

static void read_model(struct field *root, struct bpe *bpe, bool byte_level)
{
    struct field model;
    if (!field_object(root, "model", &model)) {
        field_fail(root, "model", "is missing");
        return;
    }
    const char *type = field_string_or(&model, "type", 64, "BPE");
    if (type && !strcmp(type, "Unigram")) {
        read_unigram(&model, bpe, byte_level);
        return;
    }
    if (type && strcmp(type, "BPE"))
        field_fail(&model, "type", "is '%.40s'; BPE and Unigram are supported", type);
    if (field_double_or(&model, "dropout", 0, 1, 0) > 0)
        field_fail(&model, "dropout", "is not supported");
    refuse_affix(&model, "continuing_subword_prefix");
    refuse_affix(&model, "end_of_word_suffix");
    bpe->alphabet = byte_level ? BPE_BYTES : BPE_RUNES;
    if (!field_bool_or(&model, "byte_fallback", false) && !byte_level)
        field_fail(&model, "byte_fallback",
                   "is off and the pre-tokenizer has no ByteLevel; one of the two is needed");
    bpe->ignore_merges = field_bool_or(&model, "ignore_merges", false);
    bpe->fuse_unknown = field_bool_or(&model, "fuse_unk", false);
    read_vocab(&model, bpe);
    read_unknown(&model, bpe);
    read_merges(&model, bpe);
}

/* ---- normalizer ----------------------------------------------------------------------------- */

static const char *pattern_of(struct field *f, const char *kind)
{
    struct field pattern;
    if (!field_object(f, "pattern", &pattern)) return NULL;
    return field_string_or(&pattern, kind, BPE_MAX_PATTERN, NULL);
}

static void read_normalizer(struct field *f, struct bpe *bpe)
{
    static const char *const names[] = { "NFC",     "NFD",     "NFKC",     "NFKD",
                                         "Replace", "Prepend", "Sequence", NULL };
    struct field list, item;
    int kind = field_choice(f, "type", names);
    if (f->err->status) return;
    if (kind == 6) {
        size_t n = field_array(f, "normalizers", BPE_MAX_NORMS, &list);
        for (size_t i = 0; i < n && field_item_object(&list, i, &item); i++)
            read_normalizer(&item, bpe);
        return;
    }
    const char *from = kind == BPE_REPLACE ? pattern_of(f, "String") : NULL, *to = NULL;
    if (kind == BPE_REPLACE) to = field_string(f, "content", BPE_MAX_NORM_TEXT);
    if (kind == BPE_PREPEND) to = field_string(f, "prepend", BPE_MAX_NORM_TEXT);
    if (kind == BPE_REPLACE && !from) field_fail(f, "pattern", "is not a String");
    if (!f->err->status) bpe_norm_add(&bpe->norm, (enum bpe_norm_kind)kind, from, to, f->err);
}

/* ---- pre-tokenizer --------------------------------------------------------------------------- */

enum { BYTE_LEVEL, DIGITS, SPLIT, PRE_SEQUENCE };

static void add_step(struct field *f, struct bpe *bpe, enum bpe_step_kind kind, const char *regex)
{
    if (!f->err->status) bpe_split_add(&bpe->split, kind, regex, f->err);
}

static void read_byte_level(struct field *f, struct bpe *bpe)
{
    if (field_bool_or(f, "add_prefix_space", true)) add_step(f, bpe, BPE_STEP_PREFIX, NULL);
    if (field_bool_or(f, "use_regex", true)) add_step(f, bpe, BPE_STEP_REGEX, bpe_regex_gpt2);
}

/* A String pattern as an expression: every ASCII character that is no letter or digit escaped. */
static void quote(const char *text, char out[2 * BPE_MAX_PATTERN + 1])
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!plain) *out++ = '\\';
        *out++ = (char)c;
    }
    *out = '\0';
}

static void read_split(struct field *f, struct bpe *bpe)
{
    static const char *const behaviors[] = { "Isolated", "Removed", NULL };
    char quoted[2 * BPE_MAX_PATTERN + 1];
    const char *regex = pattern_of(f, "Regex"), *text = pattern_of(f, "String");
    bool removed = field_choice(f, "behavior", behaviors),
         invert = field_bool_or(f, "invert", false);
    if (!regex && text) {
        quote(text, quoted);
        regex = quoted;
    }
    if (!regex) field_fail(f, "pattern", "is neither a Regex nor a String");
    add_step(f, bpe, !removed ? BPE_STEP_REGEX : invert ? BPE_STEP_MATCHES : BPE_STEP_GAPS, regex);
}

static void read_pre_tokenizer(struct field *f, struct bpe *bpe, bool *byte_level)
{
    static const char *const names[] = { "ByteLevel", "Digits", "Split", "Sequence", NULL };
    struct field list, item;
    int kind = field_choice(f, "type", names);
    if (f->err->status) return;
    if (*byte_level) field_fail(f, NULL, "a pre-tokenizer behind ByteLevel is not supported");
    if (kind == BYTE_LEVEL) {
        read_byte_level(f, bpe);
        *byte_level = true;
    } else if (kind == DIGITS) {
        bool alone = field_bool_or(f, "individual_digits", false);
        add_step(f, bpe, alone ? BPE_STEP_DIGIT : BPE_STEP_DIGITS, NULL);
    } else if (kind == SPLIT) {
        read_split(f, bpe);
    } else {
        size_t n = field_array(f, "pretokenizers", BPE_MAX_STEPS, &list);
        for (size_t i = 0; i < n && field_item_object(&list, i, &item); i++)
            read_pre_tokenizer(&item, bpe, byte_level);
    }
}

/* ---- added tokens -------------------------------------------------------------------------- */

static enum status add_token(struct bpe *bpe, struct bpe_added_token *token, struct error *err)
{
    struct buf norm, scratch;
    int known = bpe_vocab_find(&bpe->vocab, token->text, token->len);
    token->outside = known < 0;
    if (known >= 0)
        token->id = known;
    else
        TRY(bpe_vocab_add(&bpe->vocab, token->id, token->text, token->len, err));
    if (!token->normalized || !bpe->norm.n) return bpe_added_add(&bpe->added, token, err);

    buf_init(&norm, BPE_MAX_ADDED_BYTES * 4);
    buf_init(&scratch, BPE_MAX_ADDED_BYTES * 4);
    enum status status = bpe_norm_run(&bpe->norm, token->text, token->len, &norm, &scratch, err);
    token->text = norm.bytes;
    token->len = norm.len;
    if (!status) status = bpe_added_add(&bpe->added, token, err);
    buf_release(&norm);
    buf_release(&scratch);
    return status;
}

static void read_added_token(struct field *f, struct bpe *bpe)
{
    char text[BPE_MAX_ADDED_BYTES + 1];
    struct bpe_added_token token = { .text = text };
    const char *content = field_string(f, "content", BPE_MAX_ADDED_BYTES);
    token.id = (int)field_int(f, "id", 0, BPE_MAX_TOKENS - 1);
    token.special = field_bool_or(f, "special", false);
    token.normalized = field_bool_or(f, "normalized", !token.special);
    token.lstrip = field_bool_or(f, "lstrip", false);
    token.rstrip = field_bool_or(f, "rstrip", false);
    token.single_word = field_bool_or(f, "single_word", false);
    if (f->err->status || !*content) return;
    strcpy(text, content);
    token.len = strlen(text);
    if (add_token(bpe, &token, f->err)) fail_in(f->err, "added_tokens");
}

static void read_added(struct field *root, struct bpe *bpe)
{
    struct field list, item;
    size_t n = field_array(root, "added_tokens", BPE_MAX_ADDED, &list);
    for (size_t i = 0; i < n && field_item_object(&list, i, &item); i++)
        read_added_token(&item, bpe);
}

/* ---- what stands around a text ------------------------------------------------------------- */

/* The id of {"SpecialToken": {"id": "<s>"}}, or -1. */
static int special_id(const struct bpe *bpe, json_t *piece)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(piece, "SpecialToken"), "id"));
    return text ? bpe_vocab_find(&bpe->vocab, text, strlen(text)) : -1;
}

static void read_post_processor(json_t *post, struct bpe *bpe, int depth)
{
    const char *type = json_string_value(json_object_get(post, "type"));
    if (!type || depth > 4) return;
    if (!strcmp(type, "TemplateProcessing")) {
        json_t *single = json_object_get(post, "single");
        bpe->bos = special_id(bpe, json_array_get(single, 0));
        if (json_array_size(single) > 1)
            bpe->eos = special_id(bpe, json_array_get(single, json_array_size(single) - 1));
    }
    json_t *list = json_object_get(post, "processors");
    for (size_t i = 0; i < json_array_size(list); i++)
        read_post_processor(json_array_get(list, i), bpe, depth + 1);
}

/* {"type": "Strip", "content": " ", "start": 1} in the decoder. */
static bool strips_space(json_t *decoder, int depth)
{
    const char *type = json_string_value(json_object_get(decoder, "type"));
    json_t *list = json_object_get(decoder, "decoders");
    if (type && !strcmp(type, "Strip"))
        return json_integer_value(json_object_get(decoder, "start")) > 0;
    for (size_t i = 0; depth < 4 && i < json_array_size(list); i++)
        if (strips_space(json_array_get(list, i), depth + 1)) return true;
    return false;
}

/* ---- the file ------------------------------------------------------------------------------ */

static enum status read_root(struct bpe *bpe, json_t *json, struct error *err)
{
    struct field root, part;
    bool byte_level = false;
    field_root(&root, json, err);
    if (field_object(&root, "normalizer", &part)) read_normalizer(&part, bpe);
    if (field_object(&root, "pre_tokenizer", &part)) read_pre_tokenizer(&part, bpe, &byte_level);
    if (!err->status) read_model(&root, bpe, byte_level);
    read_added(&root, bpe);
    if (err->status) return err->status;
    read_post_processor(json_object_get(json, "post_processor"), bpe, 0);
    bpe->strip_space = strips_space(json_object_get(json, "decoder"), 0);
    return bpe_finish(bpe, err);
}

enum status bpe_json_parse(struct bpe *bpe, const char *text, size_t len, struct error *err)
{
    json_t *json = field_parse(text, len, err);
    if (!json) return err->status;
    bpe_init(bpe);
    if (read_root(bpe, json, err)) bpe_release(bpe);
    json_decref(json);
    return err->status;
}

enum status bpe_json_read(struct bpe *bpe, const char *path, struct error *err)
{
    char *text;
    size_t len;
    TRY(file_read(&text, &len, path, BPE_JSON_MAX_FILE, err));
    if (bpe_json_parse(bpe, text, len, err)) fail_in(err, "%s", path);
    free(text);
    return err->status;
}
