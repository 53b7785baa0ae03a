#include "trainer/data/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/data/bpe_bytes.h"

enum { CACHED_BYTES = 30, CACHED_IDS = 8 };

/* A word and its ids, in one cache line. n_bytes 0: free. */
struct bpe_cached {
    unsigned char n_bytes, n_ids;
    char bytes[CACHED_BYTES];
    int32_t id[CACHED_IDS];
};

void bpe_encoder_init(struct bpe_encoder *e, const struct bpe *bpe)
{
    *e = (struct bpe_encoder){ .bpe = bpe };
    e->cache = calloc(BPE_CACHE_WORDS, sizeof *e->cache);
    if (!e->cache) abort();
    buf_init(&e->norm, BPE_MAX_ENCODE);
    buf_init(&e->norm_scratch, BPE_MAX_ENCODE);
    buf_init(&e->mapped, 2 * BPE_MAX_WORD);
}

void bpe_encoder_release(struct bpe_encoder *e)
{
    free(e->cache);
    ids_release(&e->word);
    bpe_work_release(&e->work);
    bpe_lattice_release(&e->lattice);
    buf_release(&e->norm);
    buf_release(&e->norm_scratch);
    buf_release(&e->mapped);
    *e = (struct bpe_encoder){ 0 };
}

/* ---- one word ---------------------------------------------------------------------------- */

static void put_unknown(struct bpe_encoder *e, bool again)
{
    if (e->bpe->unknown < 0 || (again && e->bpe->fuse_unknown)) return;
    ids_put(&e->word, e->bpe->unknown);
}

/* The bytes of one character, if each has a token; otherwise the unknown token. */
static bool put_bytes(struct bpe_encoder *e, const char *bytes, size_t n, bool unknown_before)
{
    bool known = true;
    for (size_t i = 0; i < n; i++) known = known && e->bpe->byte_id[(unsigned char)bytes[i]] >= 0;
    for (size_t i = 0; known && i < n; i++)
        ids_put(&e->word, e->bpe->byte_id[(unsigned char)bytes[i]]);
    if (!known) put_unknown(e, unknown_before);
    return known;
}

static void start_from_bytes(struct bpe_encoder *e, const char *word, size_t len)
{
    bool known = true;
    for (size_t i = 0; i < len; i++) known = put_bytes(e, word + i, 1, !known);
}

static void start_from_runes(struct bpe_encoder *e, const char *word, size_t len)
{
    bool known = true;
    int rune;
    for (size_t i = 0, n; i < len; i += n) {
        n = bpe_rune(word + i, len - i, &rune);
        if (!n) n = 1;
        int id = bpe_find(e->bpe, word + i, n);
        if (id >= 0) ids_put(&e->word, id);
        known = id >= 0 || put_bytes(e, word + i, n, !known);
    }
}

/* The token that the whole word is, or -1. */
static int whole(struct bpe_encoder *e, const char *word, size_t len)
{
    if (len > BPE_MAX_TOKEN_BYTES) return -1;
    if (e->bpe->alphabet == BPE_RUNES) return bpe_find(e->bpe, word, len);
    buf_clear(&e->mapped);
    bpe_bytes_to_text(&e->mapped, word, len);
    return bpe_find(e->bpe, e->mapped.bytes, e->mapped.len);
}

/* The token that starts at a node, or -1: what is unknown, said or not. */
static int token_at(const struct bpe *bpe, const struct bpe_node *node, size_t at)
{
    int id = node[node[at].next].id;
    return id == bpe->unknown ? -1 : id;
}

/* Neighbouring unknown characters are one: a token after all, or bytes, or the unknown token. */
static void likeliest(struct bpe_encoder *e, const char *word, size_t len)
{
    const struct bpe *bpe = e->bpe;
    const struct bpe_node *node =
        bpe_unigram_run(&bpe->unigram, &bpe->vocab, &e->lattice, word, len);
    for (size_t at = 0, end; at < len; at = end) {
        int id = token_at(bpe, node, at);
        end = node[at].next;
        while (id < 0 && end < len && token_at(bpe, node, end) < 0) end = node[end].next;
        if (id < 0) id = bpe_find(bpe, word + at, end - at);
        if (id >= 0)
            ids_put(&e->word, id);
        else
            put_bytes(e, word + at, end - at, false);
    }
}

static void encode_word(struct bpe_encoder *e, const char *word, size_t len)
{
    e->word.n = 0;
    int id = e->bpe->ignore_merges ? whole(e, word, len) : -1;
    if (id >= 0) {
        ids_put(&e->word, id);
        return;
    }
    if (e->bpe->unigram.score) {
        likeliest(e, word, len);
        return;
    }
    if (e->bpe->alphabet == BPE_BYTES)
        start_from_bytes(e, word, len);
    else
        start_from_runes(e, word, len);
    e->word.n = bpe_merges_apply(&e->bpe->merges, &e->work, e->word.id, e->word.n);
}

static struct bpe_cached *cached_of(struct bpe_encoder *e, const char *word, size_t len)
{
    return &e->cache[bpe_hash(word, len) & (BPE_CACHE_WORDS - 1)];
}

static void remember(struct bpe_cached *cached, const char *word, size_t len, const struct ids *ids)
{
    cached->n_bytes = (unsigned char)len;
    cached->n_ids = (unsigned char)ids->n;
    memcpy(cached->bytes, word, len);
    memcpy(cached->id, ids->id, ids->n * sizeof *ids->id);
}

static void on_word(void *data, const char *word, size_t len)
{
    struct bpe_encoder *e = data;
    struct bpe_cached *cached = len <= CACHED_BYTES ? cached_of(e, word, len) : NULL;
    if (cached && cached->n_bytes == len && !memcmp(cached->bytes, word, len)) {
        memcpy(ids_reserve(e->out, CACHED_IDS), cached->id, sizeof cached->id);
        e->out->n += cached->n_ids;
        return;
    }
    if (len > BPE_MAX_WORD) {
        fail(e->err, E_LIMIT, "a word of %zu bytes, more than %d", len, BPE_MAX_WORD);
        return;
    }
    encode_word(e, word, len);
    if (!e->word.n) return;
    if (cached && e->word.n <= CACHED_IDS) remember(cached, word, len, &e->word);
    memcpy(ids_reserve(e->out, e->word.n), e->word.id, e->word.n * sizeof *e->word.id);
    e->out->n += e->word.n;
}

/* ---- a text: added tokens around pieces, twice ---------------------------------------------- */

static enum status encode_piece(struct bpe_encoder *e, const char *text, size_t len)
{
    TRY(bpe_split_run(&e->bpe->split, text, len, on_word, e, e->err));
    return e->err->status;
}

static enum status encode_normal(struct bpe_encoder *e, const char *text, size_t len)
{
    size_t done = 0, start, end;
    const struct bpe_added_token *token;
    while ((token = bpe_added_find(&e->bpe->added, true, text, len, done, done, &start, &end))) {
        TRY(encode_piece(e, text + done, start - done));
        ids_put(e->out, token->id);
        done = end;
    }
    return encode_piece(e, text + done, len - done);
}

static enum status normalize(struct bpe_encoder *e, const char *text, size_t len)
{
    if (!e->bpe->norm.n) return encode_normal(e, text, len);
    TRY(bpe_norm_run(&e->bpe->norm, text, len, &e->norm, &e->norm_scratch, e->err));
    return encode_normal(e, e->norm.bytes ? e->norm.bytes : "", e->norm.len);
}

static enum status encode_raw(struct bpe_encoder *e, const char *text, size_t len)
{
    size_t done = 0, start, end;
    const struct bpe_added_token *token;
    while ((token = bpe_added_find(&e->bpe->added, false, text, len, done, done, &start, &end))) {
        if (start > done) TRY(normalize(e, text + done, start - done));
        ids_put(e->out, token->id);
        done = end;
    }
    return len > done ? normalize(e, text + done, len - done) : OK;
}

static void encode_lost_byte(struct bpe_encoder *e, const char *byte)
{
    e->word.n = 0;
    put_bytes(e, byte, 1, false);
    if (e->word.n) ids_put(e->out, e->word.id[0]);
}

enum status bpe_encode(struct bpe_encoder *e, const char *text, size_t len, struct ids *out,
                       struct error *err)
{
    if (len > BPE_MAX_ENCODE)
        return fail(err, E_LIMIT, "a text of %zu bytes, more than %d MiB", len,
                    BPE_MAX_ENCODE >> 20);
    e->out = out;
    e->err = err;
    while (len) {
        size_t n = bpe_utf8_prefix(text, len);
        if (n) TRY(encode_raw(e, text, n));
        if (n < len) encode_lost_byte(e, text + n++);
        text += n;
        len -= n;
    }
    return OK;
}
