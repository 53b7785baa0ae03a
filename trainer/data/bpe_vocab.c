#include "trainer/data/bpe_vocab.h"

#include <stdlib.h>
#include <string.h>

void bpe_vocab_init(struct bpe_vocab *v)
{
    *v = (struct bpe_vocab){ 0 };
    buf_init(&v->text, BPE_MAX_TEXT_BYTES);
}

void bpe_vocab_release(struct bpe_vocab *v)
{
    free(v->start);
    free(v->length);
    free(v->slot);
    buf_release(&v->text);
    *v = (struct bpe_vocab){ 0 };
}

uint64_t bpe_hash(const char *text, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u, word;
    for (; len >= 8; text += 8, len -= 8) {
        memcpy(&word, text, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    for (; len; text++, len--) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93u;
    return h ^ (h >> 32);
}

static void *grown(void *old, size_t count, size_t size)
{
    void *p = realloc(old, count * size);
    if (!p) abort();
    return p;
}

static void make_room(struct bpe_vocab *v, int id)
{
    if (id < v->room) return;
    int room = v->room ? v->room : 1024;
    while (room <= id) room *= 2;
    v->start = grown(v->start, (size_t)room, sizeof *v->start);
    v->length = grown(v->length, (size_t)room, sizeof *v->length);
    memset(v->length + v->room, 0, (size_t)(room - v->room) * sizeof *v->length);
    v->room = room;
}

const char *bpe_vocab_text(const struct bpe_vocab *v, int id, size_t *len)
{
    bool known = id >= 0 && id < v->n && v->length[id];
    *len = known ? v->length[id] : 0;
    return known ? v->text.bytes + v->start[id] : "";
}

static bool is_text(const struct bpe_vocab *v, int id, const char *text, size_t len)
{
    size_t n;
    const char *mine = bpe_vocab_text(v, id, &n);
    return n == len && !memcmp(mine, text, len);
}

/* The slot that holds the text, or the free one where it belongs. */
static uint32_t slot_of(const struct bpe_vocab *v, const char *text, size_t len)
{
    uint32_t i = (uint32_t)bpe_hash(text, len) & v->mask;
    while (v->slot[i] && !is_text(v, v->slot[i] - 1, text, len)) i = (i + 1) & v->mask;
    return i;
}

int bpe_vocab_find(const struct bpe_vocab *v, const char *text, size_t len)
{
    return v->slot ? v->slot[slot_of(v, text, len)] - 1 : -1;
}

static void rehash(struct bpe_vocab *v)
{
    if (v->slot && v->n_found * 2 <= v->mask) return;
    int32_t *old = v->slot;
    uint32_t n_old = old ? v->mask + 1 : 0;
    v->mask = old ? v->mask * 2 + 1 : 4095;
    v->slot = grown(NULL, (size_t)v->mask + 1, sizeof *v->slot);
    memset(v->slot, 0, ((size_t)v->mask + 1) * sizeof *v->slot);
    for (uint32_t i = 0; i < n_old; i++) {
        size_t len;
        if (!old[i]) continue;
        const char *text = bpe_vocab_text(v, old[i] - 1, &len);
        v->slot[slot_of(v, text, len)] = old[i];
    }
    free(old);
}

static enum status check(const struct bpe_vocab *v, int64_t id, const char *text, size_t len,
                         struct error *err)
{
    if (id < 0 || id >= BPE_MAX_TOKENS)
        return fail(err, E_INPUT, "the token id %lld is outside 0..%d", (long long)id,
                    BPE_MAX_TOKENS - 1);
    if (!len || len > BPE_MAX_TOKEN_BYTES)
        return fail(err, E_INPUT, "token %lld has %zu bytes, outside 1..%d", (long long)id, len,
                    BPE_MAX_TOKEN_BYTES);
    if (v->text.len + len > BPE_MAX_TEXT_BYTES)
        return fail(err, E_LIMIT, "the vocabulary has more than %d MiB of text",
                    BPE_MAX_TEXT_BYTES >> 20);
    if (id < v->n && v->length[id] && !is_text(v, (int)id, text, len))
        return fail(err, E_INPUT, "token id %lld is given to two texts", (long long)id);
    return OK;
}

enum status bpe_vocab_add(struct bpe_vocab *v, int64_t id, const char *text, size_t len,
                          struct error *err)
{
    TRY(check(v, id, text, len, err));
    make_room(v, (int)id);
    if (id < v->n && v->length[id]) return OK;
    for (; v->n <= id; v->n++) v->length[v->n] = 0;
    v->start[id] = (uint32_t)v->text.len;
    v->length[id] = (uint32_t)len;
    buf_put(&v->text, text, len);
    rehash(v);
    uint32_t i = slot_of(v, text, len);
    if (!v->slot[i]) {
        v->slot[i] = (int32_t)id + 1;
        v->n_found++;
    }
    return OK;
}
