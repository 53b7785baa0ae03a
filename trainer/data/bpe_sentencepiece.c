#include "trainer/data/bpe_sentencepiece.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/data/bpe_bytes.h"
#include "trainer/data/bpe_scores.h"
#include "trainer/data/bpe_write.h"
#include "trainer/data/tokenizer.h"
#include "trainer/formats/file.h"

enum piece_type { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };
enum wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* ---- protocol buffers ---------------------------------------------------------------------- */

struct message {
    const unsigned char *at, *end;
};

/* One field: bytes for BYTES, a number for the others. */
struct proto_field {
    uint64_t number, value;
    struct message bytes;
    enum wire wire;
};

static bool take_varint(struct message *m, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        unsigned char byte = *m->at++;
        *out |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return true;
    }
    return false;
}

static bool take_fixed(struct message *m, size_t n, uint64_t *out)
{
    *out = 0;
    if ((size_t)(m->end - m->at) < n) return false;
    memcpy(out, m->at, n);
    m->at += n;
    return true;
}

static bool take_bytes(struct message *m, struct message *out)
{
    uint64_t n;
    if (!take_varint(m, &n) || n > (uint64_t)(m->end - m->at)) return false;
    *out = (struct message){ m->at, m->at + n };
    m->at += n;
    return true;
}

/* False at the end of the message and on failure, which `err` tells apart. */
static bool next(struct message *m, struct proto_field *f, struct error *err)
{
    uint64_t key;
    bool ok = m->at < m->end && !err->status;
    if (!ok) return false;
    ok = take_varint(m, &key);
    f->number = key >> 3;
    f->wire = (enum wire)(key & 7);
    if (ok && f->wire == VARINT)
        ok = take_varint(m, &f->value);
    else if (ok && f->wire == FIXED64)
        ok = take_fixed(m, 8, &f->value);
    else if (ok && f->wire == FIXED32)
        ok = take_fixed(m, 4, &f->value);
    else
        ok = ok && f->wire == BYTES && take_bytes(m, &f->bytes);
    if (!ok) fail(err, E_INPUT, "this is not a sentencepiece model, or it is cut off");
    return ok;
}

/* ---- pieces -------------------------------------------------------------------------------- */

struct reading {
    struct bpe *bpe;
    struct bpe_scored *list; /* of those that joining may make */
    size_t n, room;
    int id; /* of the next piece */
    uint64_t model_type;
    int unused; /* a piece that may not be made, or -1 */
    bool prefix, removes_spaces, escapes, has_rules, suffix;
    struct error *err;
};

static void put_scored(struct reading *r, float score)
{
    if (r->n == r->room) {
        r->room = r->room ? r->room * 2 : 4096;
        r->list = realloc(r->list, r->room * sizeof *r->list);
        if (!r->list) abort();
    }
    r->list[r->n++] = (struct bpe_scored){ score, r->id };
}

static bool is_utf8(const char *text, size_t len)
{
    int rune;
    size_t n = 1, at = 0;
    for (; n && at < len; at += n) n = bpe_rune(text + at, len - at, &rune);
    return n > 0;
}

static enum status add_piece(struct reading *r, const char *text, size_t len, float score,
                             uint64_t type)
{
    int twin = bpe_vocab_find(&r->bpe->vocab, text, len);
    if (memchr(text, 0, len)) return fail(r->err, E_INPUT, "piece %d has a NUL inside", r->id);
    if (!is_utf8(text, len)) return fail(r->err, E_INPUT, "piece %d is not UTF-8", r->id);
    if (twin >= 0) return fail(r->err, E_INPUT, "pieces %d and %d have the same text", twin, r->id);
    TRY(bpe_vocab_add(&r->bpe->vocab, r->id, text, len, r->err));
    bpe_unigram_set(&r->bpe->unigram, r->id, score); /* dropped again when it is none */
    if (type == NORMAL) put_scored(r, score);
    if (type == UNUSED) r->unused = r->id;
    if (type == BYTE) r->bpe->byte_fallback = true;
    if (type == UNKNOWN) r->bpe->unknown = r->id;
    if (type == CONTROL && len == 3 && !memcmp(text, "<s>", 3)) r->bpe->bos = r->id;
    if (type == CONTROL || type == USER_DEFINED)
        return bpe_add_whole(r->bpe, r->id, text, len, type == CONTROL, r->err);
    return OK;
}

static enum status read_piece(struct reading *r, struct message m)
{
    struct proto_field f;
    struct message text = { (const unsigned char *)"", (const unsigned char *)"" };
    uint64_t type = NORMAL;
    float score = 0;
    while (next(&m, &f, r->err)) {
        if (f.number == 1 && f.wire == BYTES) text = f.bytes;
        if (f.number == 2 && f.wire == FIXED32) memcpy(&score, &f.value, sizeof score);
        if (f.number == 3 && f.wire == VARINT) type = f.value;
    }
    TRY(r->err->status);
    if (score != score) return fail(r->err, E_INPUT, "piece %d has no number for a score", r->id);
    if (text.at < text.end)
        TRY(add_piece(r, (const char *)text.at, (size_t)(text.end - text.at), score, type));
    r->id++;
    return OK;
}

/* ---- settings ------------------------------------------------------------------------------ */

static void read_trainer(struct reading *r, struct message m)
{
    struct proto_field f;
    while (next(&m, &f, r->err)) {
        if (f.number == 3 && f.wire == VARINT) r->model_type = f.value;
        if (f.number == 24 && f.wire == VARINT) r->suffix = f.value != 0;
    }
}

static void read_normalizer(struct reading *r, struct message m)
{
    struct proto_field f;
    while (next(&m, &f, r->err)) {
        if (f.number == 2 && f.wire == BYTES) r->has_rules = f.bytes.at < f.bytes.end;
        if (f.number == 3 && f.wire == VARINT) r->prefix = f.value != 0;
        if (f.number == 4 && f.wire == VARINT) r->removes_spaces = f.value != 0;
        if (f.number == 5 && f.wire == VARINT) r->escapes = f.value != 0;
    }
}

static enum status check(const struct reading *r)
{
    if (r->model_type != 1 && r->model_type != 2)
        return fail(r->err, E_INPUT,
                    "the sentencepiece model is of type %" PRIu64
                    "; unigram (1) and BPE (2) can be read",
                    r->model_type);
    if (r->model_type == 1 && r->unused >= 0)
        return fail(r->err, E_INPUT,
                    "piece %d of the unigram model is unused, which a tokenizer.json cannot say",
                    r->unused);
    if (r->has_rules || r->removes_spaces || r->suffix || !r->escapes)
        return fail(r->err, E_INPUT, "the sentencepiece model %s, which is not supported",
                    r->has_rules        ? "normalises text by rules of its own"
                    : r->removes_spaces ? "removes extra spaces"
                    : r->suffix         ? "keeps a word's space behind it"
                                        : "keeps spaces as they are");
    return OK;
}

static enum status read_all(struct reading *r, struct message m)
{
    struct proto_field f;
    while (next(&m, &f, r->err)) {
        if (f.wire != BYTES) continue;
        if (f.number == 1) TRY(read_piece(r, f.bytes));
        if (f.number == 2) read_trainer(r, f.bytes);
        if (f.number == 3) read_normalizer(r, f.bytes);
    }
    TRY(r->err->status);
    TRY(check(r));
    TRY(bpe_use_meta_spaces(r->bpe, r->prefix, r->err));
    if (r->model_type == 2) {
        bpe_unigram_release(&r->bpe->unigram);
        bpe_rules_from_scores(r->bpe, r->list, r->n);
    }
    return bpe_finish(r->bpe, r->err);
}

enum status bpe_sentencepiece_parse(struct bpe *bpe, const void *bytes, size_t len,
                                    struct error *err)
{
    struct reading r = { .bpe = bpe,
                         .model_type = 1,
                         .prefix = true,
                         .removes_spaces = true,
                         .escapes = true,
                         .unused = -1,
                         .err = err };
    const unsigned char *start = bytes;
    bpe_init(bpe);
    bpe->fuse_unknown = true;
    bpe->byte_fallback = false;
    if (read_all(&r, (struct message){ start, start + len })) bpe_release(bpe);
    free(r.list);
    return err->status;
}

/* ---- as a tokenizer ------------------------------------------------------------------------ */

static enum status as_tokenizer(struct tokenizer **out, const struct file_map *map,
                                struct error *err)
{
    struct bpe bpe;
    struct buf json;
    if (map->len > BPE_SENTENCEPIECE_MAX_FILE)
        return fail(err, E_LIMIT, "the model has %zu bytes", map->len);
    TRY(bpe_sentencepiece_parse(&bpe, map->bytes, map->len, err));
    buf_init(&json, BPE_WRITE_MAX);
    if (!bpe_write(&bpe, &json, err)) tokenizer_bpe(out, json.bytes, json.len, err);
    buf_release(&json);
    bpe_release(&bpe);
    return err->status;
}

enum status tokenizer_sentencepiece(struct tokenizer **out, const char *path, struct error *err)
{
    struct file_map map;
    *out = NULL;
    TRY(file_map_open(&map, path, err));
    as_tokenizer(out, &map, err);
    file_map_close(&map);
    return err->status;
}
