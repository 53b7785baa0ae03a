#include "trainer/data/bpe_pairs.h"

#include <stdlib.h>
#include <string.h>

static void *grown(void *old, size_t count, size_t size)
{
    void *p = realloc(old, count * size);
    if (!p) abort();
    return p;
}

void bpe_pairs_init(struct bpe_pairs *p)
{
    *p = (struct bpe_pairs){ .mask = 65535 };
    p->slot = calloc(p->mask + 1, sizeof *p->slot);
    if (!p->slot) abort();
}

void bpe_pairs_release(struct bpe_pairs *p)
{
    for (uint32_t i = 0; i < p->n; i++) free(p->pair[i].word);
    free(p->pair);
    free(p->slot);
    free(p->heap);
    *p = (struct bpe_pairs){ 0 };
}

/* ---- counts -------------------------------------------------------------------------------- */

static uint32_t *slot_of(struct bpe_pairs *p, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h ^ h >> 32) & p->mask;
    for (; p->slot[i]; i = (i + 1) & p->mask) {
        const struct bpe_pair *pair = &p->pair[p->slot[i] - 1];
        if (pair->left == left && pair->right == right) break;
    }
    return &p->slot[i];
}

static void rehash(struct bpe_pairs *p)
{
    p->mask = p->mask * 2 + 1;
    free(p->slot);
    p->slot = calloc(p->mask + 1, sizeof *p->slot);
    if (!p->slot) abort();
    for (uint32_t i = 0; i < p->n; i++) *slot_of(p, p->pair[i].left, p->pair[i].right) = i + 1;
}

static struct bpe_pair *pair_of(struct bpe_pairs *p, int32_t left, int32_t right)
{
    uint32_t *slot = slot_of(p, left, right);
    if (*slot) return &p->pair[*slot - 1];
    if (p->n == p->room) {
        p->room = p->room ? p->room * 2 : 4096;
        p->pair = grown(p->pair, p->room, sizeof *p->pair);
    }
    p->pair[p->n] = (struct bpe_pair){ .left = left, .right = right };
    *slot = ++p->n;
    if ((size_t)p->n * 2 > p->mask) rehash(p);
    return &p->pair[p->n - 1];
}

static void note_word(struct bpe_pair *pair, uint32_t word)
{
    if (pair->n_words && pair->word[pair->n_words - 1] == word) return;
    if (pair->n_words == pair->room) {
        pair->room = pair->room ? pair->room * 2 : 2;
        pair->word = grown(pair->word, pair->room, sizeof *pair->word);
    }
    pair->word[pair->n_words++] = word;
}

uint32_t bpe_pairs_count(struct bpe_pairs *p, int32_t left, int32_t right, int64_t by,
                         uint32_t word)
{
    struct bpe_pair *pair = pair_of(p, left, right);
    pair->count += by;
    if (by > 0) note_word(pair, word);
    return (uint32_t)(pair - p->pair);
}

/* ---- candidates ---------------------------------------------------------------------------- */

static bool better(const struct bpe_pairs *p, struct bpe_candidate a, struct bpe_candidate b)
{
    const struct bpe_pair *x = &p->pair[a.pair], *y = &p->pair[b.pair];
    if (a.count != b.count) return a.count > b.count;
    return x->left != y->left ? x->left < y->left : x->right < y->right;
}

void bpe_pairs_push(struct bpe_pairs *p, uint32_t i)
{
    struct bpe_candidate mine = { p->pair[i].count, i };
    if (p->n_heap == p->heap_room) {
        p->heap_room = p->heap_room ? p->heap_room * 2 : 4096;
        p->heap = grown(p->heap, p->heap_room, sizeof *p->heap);
    }
    size_t at = p->n_heap++;
    for (; at && better(p, mine, p->heap[(at - 1) / 2]); at = (at - 1) / 2)
        p->heap[at] = p->heap[(at - 1) / 2];
    p->heap[at] = mine;
}

static struct bpe_candidate pop(struct bpe_pairs *p)
{
    struct bpe_candidate top = p->heap[0], last = p->heap[--p->n_heap];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < p->n_heap) {
        if (child + 1 < p->n_heap && better(p, p->heap[child + 1], p->heap[child])) child++;
        if (!better(p, p->heap[child], last)) break;
        p->heap[at] = p->heap[child];
        at = child;
    }
    p->heap[at] = last;
    return top;
}

bool bpe_pairs_pop(struct bpe_pairs *p, int64_t least, uint32_t *i)
{
    while (p->n_heap) {
        struct bpe_candidate top = pop(p);
        if (top.count < least) return false;
        if (top.count != p->pair[top.pair].count) {
            bpe_pairs_push(p, top.pair);
            continue;
        }
        *i = top.pair;
        return true;
    }
    return false;
}
