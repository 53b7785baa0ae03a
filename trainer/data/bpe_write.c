#include "trainer/data/bpe_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/base/emit.h"

static void put_type(struct emit *e, const char *type)
{
    emit_begin(e, '{');
    emit_kv_string(e, "type", type);
}

static void put_pattern(struct emit *e, const char *kind, const char *text)
{
    emit_key(e, "pattern");
    emit_begin(e, '{');
    emit_kv_string(e, kind, text);
    emit_end(e);
}

/* ---- added tokens --------------------------------------------------------------------------- */

static void put_added_token(struct emit *e, const struct bpe *bpe,
                            const struct bpe_added_token *token)
{
    size_t len; /* the token's own text, not the normalised one that is looked for */
    const char *text = bpe_vocab_text(&bpe->vocab, token->id, &len);
    emit_begin(e, '{');
    emit_kv_int(e, "id", token->id);
    emit_key(e, "content");
    emit_string_n(e, text, len);
    emit_kv_bool(e, "single_word", token->single_word);
    emit_kv_bool(e, "lstrip", token->lstrip);
    emit_kv_bool(e, "rstrip", token->rstrip);
    emit_kv_bool(e, "normalized", token->normalized);
    emit_kv_bool(e, "special", token->special);
    emit_end(e);
}

/* Hugging Face wants them by id. */
static void put_added(struct emit *e, const struct bpe *bpe)
{
    emit_key(e, "added_tokens");
    emit_begin(e, '[');
    for (int id = 0, left = bpe->added.n; id < bpe->vocab.n && left; id++) {
        if (bpe->role[id] == BPE_NORMAL) continue;
        for (int i = 0; i < bpe->added.n; i++)
            if (bpe->added.token[i].id == id) put_added_token(e, bpe, &bpe->added.token[i]), left--;
    }
    emit_end(e);
}

/* ---- normalizer ---------------------------------------------------------------------------- */

static void put_norm_step(struct emit *e, const struct bpe_norm_step *step)
{
    static const char *const names[] = { "NFC", "NFD", "NFKC", "NFKD", "Replace", "Prepend" };
    put_type(e, names[step->kind]);
    if (step->kind == BPE_REPLACE) {
        put_pattern(e, "String", step->from);
        emit_kv_string(e, "content", step->to);
    }
    if (step->kind == BPE_PREPEND) emit_kv_string(e, "prepend", step->to);
    emit_end(e);
}

static void put_norm(struct emit *e, const struct bpe_norm *norm)
{
    emit_key(e, "normalizer");
    if (!norm->n) emit_null(e);
    if (norm->n > 1) {
        put_type(e, "Sequence");
        emit_key(e, "normalizers");
        emit_begin(e, '[');
    }
    for (int i = 0; i < norm->n; i++) put_norm_step(e, &norm->step[i]);
    if (norm->n > 1) {
        emit_end(e);
        emit_end(e);
    }
}

/* ---- pre-tokenizer ------------------------------------------------------------------------- */

static void put_byte_level(struct emit *e, bool prefix, bool regex)
{
    put_type(e, "ByteLevel");
    emit_kv_bool(e, "add_prefix_space", prefix);
    emit_kv_bool(e, "trim_offsets", true);
    emit_kv_bool(e, "use_regex", regex);
    emit_end(e);
}

static void put_step(struct emit *e, const struct bpe_step *step)
{
    if (step->kind == BPE_STEP_DIGIT || step->kind == BPE_STEP_DIGITS) {
        put_type(e, "Digits");
        emit_kv_bool(e, "individual_digits", step->kind == BPE_STEP_DIGIT);
        emit_end(e);
        return;
    }
    put_type(e, "Split");
    put_pattern(e, "Regex", step->regex);
    emit_kv_string(e, "behavior", step->kind == BPE_STEP_REGEX ? "Isolated" : "Removed");
    emit_kv_bool(e, "invert", step->kind == BPE_STEP_MATCHES);
    emit_end(e);
}

/* Of bytes the last steps are ByteLevel's own: perhaps a space in front, perhaps GPT-2's
 * expression. */
static void put_split(struct emit *e, const struct bpe *bpe)
{
    emit_key(e, "pre_tokenizer");
    const struct bpe_step *step = bpe->split.step;
    bool runes = bpe->alphabet == BPE_RUNES;
    int n = bpe_split_said(&bpe->split);
    if (runes && !n) {
        emit_null(e);
        return;
    }
    bool regex = !runes && n && step[n - 1].kind == BPE_STEP_REGEX &&
                 !strcmp(step[n - 1].regex, bpe_regex_gpt2);
    n -= regex;
    bool prefix = !runes && n && step[n - 1].kind == BPE_STEP_PREFIX;
    n -= prefix;
    put_type(e, "Sequence");
    emit_key(e, "pretokenizers");
    emit_begin(e, '[');
    for (int i = 0; i < n; i++) put_step(e, &step[i]);
    if (!runes) put_byte_level(e, prefix, regex);
    emit_end(e);
    emit_end(e);
}

/* ---- what stands around a text, and decoding ----------------------------------------------- */

static void put_piece(struct emit *e, const char *kind, const char *id, size_t len)
{
    emit_begin(e, '{');
    emit_key(e, kind);
    emit_begin(e, '{');
    emit_key(e, "id");
    emit_string_n(e, id, len);
    emit_kv_int(e, "type_id", 0);
    emit_end(e);
    emit_end(e);
}

static void put_special_piece(struct emit *e, const struct bpe *bpe, int id)
{
    size_t len;
    const char *text = bpe_vocab_text(&bpe->vocab, id, &len);
    if (len) put_piece(e, "SpecialToken", text, len);
}

static void put_template(struct emit *e, const struct bpe *bpe, const char *key, int texts)
{
    emit_key(e, key);
    emit_begin(e, '[');
    for (int i = 0; i < texts; i++) {
        put_special_piece(e, bpe, bpe->bos);
        put_piece(e, "Sequence", i ? "B" : "A", 1);
        put_special_piece(e, bpe, bpe->eos);
    }
    emit_end(e);
}

/* A token's text as a member's name. */
static void put_key_of(struct emit *e, const char *text, size_t len)
{
    char key[BPE_MAX_TOKEN_BYTES + 1];
    memcpy(key, text, len);
    key[len] = '\0';
    emit_key(e, key);
}

static void put_special_token(struct emit *e, const struct bpe *bpe, int id)
{
    size_t len;
    const char *text = bpe_vocab_text(&bpe->vocab, id, &len);
    if (!len) return;
    put_key_of(e, text, len);
    emit_begin(e, '{');
    emit_key(e, "id");
    emit_string_n(e, text, len);
    emit_key(e, "ids");
    emit_begin(e, '[');
    emit_int(e, id);
    emit_end(e);
    emit_key(e, "tokens");
    emit_begin(e, '[');
    emit_string_n(e, text, len);
    emit_end(e);
    emit_end(e);
}

static void put_post_processor(struct emit *e, const struct bpe *bpe)
{
    emit_key(e, "post_processor");
    if (bpe->bos < 0 && bpe->eos < 0) {
        emit_null(e);
        return;
    }
    put_type(e, "TemplateProcessing");
    put_template(e, bpe, "single", 1);
    put_template(e, bpe, "pair", 2);
    emit_key(e, "special_tokens");
    emit_begin(e, '{');
    put_special_token(e, bpe, bpe->bos);
    if (bpe->eos != bpe->bos) put_special_token(e, bpe, bpe->eos);
    emit_end(e);
    emit_end(e);
}

static void put_decoder(struct emit *e, const struct bpe *bpe)
{
    emit_key(e, "decoder");
    if (bpe->alphabet == BPE_BYTES) {
        put_byte_level(e, false, true);
        return;
    }
    put_type(e, "Sequence");
    emit_key(e, "decoders");
    emit_begin(e, '[');
    put_norm_step(e, &(struct bpe_norm_step){ BPE_REPLACE, "\xe2\x96\x81", " " });
    put_type(e, "ByteFallback");
    emit_end(e);
    put_type(e, "Fuse");
    emit_end(e);
    if (bpe->strip_space) {
        put_type(e, "Strip");
        emit_kv_string(e, "content", " ");
        emit_kv_int(e, "start", 1);
        emit_kv_int(e, "stop", 0);
        emit_end(e);
    }
    emit_end(e);
    emit_end(e);
}

/* ---- the model ----------------------------------------------------------------------------- */

static int by_rank(const void *a, const void *b)
{
    const struct bpe_rule *x = *(const struct bpe_rule *const *)a,
                          *y = *(const struct bpe_rule *const *)b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static void put_text(struct emit *e, const struct bpe *bpe, uint64_t id)
{
    size_t len;
    const char *text = bpe_vocab_text(&bpe->vocab, (int)id, &len);
    emit_string_n(e, text, len);
}

static void put_merges(struct emit *e, const struct bpe *bpe)
{
    const struct bpe_merges *m = &bpe->merges;
    const struct bpe_rule **rule = calloc(m->n + 1, sizeof(struct bpe_rule *));
    size_t n = 0;
    if (!rule) abort();
    for (size_t i = 0; m->slot && i <= m->mask; i++)
        if (m->slot[i].joined >= 0) rule[n++] = &m->slot[i];
    qsort(rule, n, sizeof *rule, by_rank);
    emit_key(e, "merges");
    emit_begin(e, '[');
    for (size_t i = 0; i < n; i++) {
        emit_begin(e, '[');
        put_text(e, bpe, rule[i]->pair >> 32);
        put_text(e, bpe, rule[i]->pair & 0xffffffff);
        emit_end(e);
    }
    emit_end(e);
    free(rule);
}

static void put_vocab(struct emit *e, const struct bpe *bpe)
{
    emit_key(e, "vocab");
    emit_begin(e, '{');
    for (int id = 0; id < bpe->vocab.n; id++) {
        size_t len;
        const char *text = bpe_vocab_text(&bpe->vocab, id, &len);
        if (!len || bpe_vocab_find(&bpe->vocab, text, len) != id) continue; /* a hole, or a twin */
        put_key_of(e, text, len);
        emit_int(e, id);
    }
    emit_end(e);
}

static bool is_scored(const struct bpe_unigram *u, int id)
{
    return id < u->n && !isnan(u->score[id]);
}

/* Added tokens behind all pieces are none of the model's: with a score it would make them from
 * text. */
static int end_of_pieces(const struct bpe *bpe)
{
    int end = bpe->vocab.n;
    while (end && !is_scored(&bpe->unigram, end - 1) && bpe->role[end - 1] != BPE_NORMAL) end--;
    return end;
}

/* By position; holes have a score all the same. */
static void put_unigram(struct emit *e, const struct bpe *bpe)
{
    const struct bpe_unigram *u = &bpe->unigram;
    put_type(e, "Unigram");
    emit_key(e, "unk_id");
    if (bpe->unknown < 0)
        emit_null(e);
    else
        emit_int(e, bpe->unknown);
    emit_kv_bool(e, "byte_fallback", bpe->byte_fallback);
    emit_key(e, "vocab");
    emit_begin(e, '[');
    for (int id = 0, end = end_of_pieces(bpe); id < end; id++) {
        emit_begin(e, '[');
        put_text(e, bpe, (uint64_t)id);
        emit_double(e, is_scored(u, id) ? u->score[id] : 0);
        emit_end(e);
    }
    emit_end(e);
    emit_end(e);
}

static void put_model(struct emit *e, const struct bpe *bpe)
{
    if (bpe->unigram.score) {
        emit_key(e, "model");
        put_unigram(e, bpe);
        return;
    }
    emit_key(e, "model");
    put_type(e, "BPE");
    emit_kv_string(e, "dropout", NULL);
    emit_key(e, "unk_token");
    if (bpe->unknown < 0)
        emit_null(e);
    else
        put_text(e, bpe, (uint64_t)bpe->unknown);
    emit_kv_string(e, "continuing_subword_prefix", NULL);
    emit_kv_string(e, "end_of_word_suffix", NULL);
    emit_kv_bool(e, "fuse_unk", bpe->fuse_unknown);
    emit_kv_bool(e, "byte_fallback", bpe->alphabet == BPE_RUNES && bpe->byte_fallback);
    emit_kv_bool(e, "ignore_merges", bpe->ignore_merges);
    put_vocab(e, bpe);
    put_merges(e, bpe);
    emit_end(e);
}

enum status bpe_write(const struct bpe *bpe, struct buf *json, struct error *err)
{
    struct emit e;
    buf_clear(json);
    emit_init(&e, json);
    emit_begin(&e, '{');
    emit_kv_string(&e, "version", "1.0");
    emit_kv_string(&e, "truncation", NULL);
    emit_kv_string(&e, "padding", NULL);
    put_added(&e, bpe);
    put_norm(&e, &bpe->norm);
    put_split(&e, bpe);
    put_post_processor(&e, bpe);
    put_decoder(&e, bpe);
    put_model(&e, bpe);
    emit_end(&e);
    return json->failed ? fail(err, E_LIMIT, "the tokenizer.json passes %zu bytes", json->ceiling)
                        : OK;
}
