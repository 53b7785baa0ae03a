#include "trainer/data/bpe_merges.h"

#include <stdlib.h>
#include <string.h>

enum { SCAN_MAX = 40 }; /* the longest word that is scanned */

/* A token of a long word, linked to its living neighbours by index. */
struct bpe_link {
    int32_t id, prev, next; /* id -1: joined into its left neighbour */
};

/* "The pair starting at `at` can become `joined`"; stale when the pair changed since. */
struct bpe_event {
    uint32_t rank;
    int32_t at, left, right, joined;
};

/* ---- the table ------------------------------------------------------------------- */

static void *grown(void *old, size_t count, size_t size)
{
    void *p = realloc(old, count * size);
    if (!p) abort();
    return p;
}

static uint64_t pair_of(int left, int right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static size_t slot_of(const struct bpe_merges *m, uint64_t pair)
{
    uint64_t h = pair * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h ^ (h >> 31)) & m->mask;
    while (m->slot[i].joined >= 0 && m->slot[i].pair != pair) i = (i + 1) & m->mask;
    return i;
}

static void resize(struct bpe_merges *m, size_t slots)
{
    struct bpe_merges bigger = { .slot = grown(NULL, slots, sizeof *m->slot),
                                 .mask = slots - 1,
                                 .n = m->n };
    for (size_t i = 0; i < slots; i++) bigger.slot[i].joined = -1;
    for (size_t i = 0; m->slot && i <= m->mask; i++)
        if (m->slot[i].joined >= 0) bigger.slot[slot_of(&bigger, m->slot[i].pair)] = m->slot[i];
    free(m->slot);
    *m = bigger;
}

void bpe_merges_release(struct bpe_merges *m)
{
    free(m->slot);
    *m = (struct bpe_merges){ 0 };
}

void bpe_merges_add(struct bpe_merges *m, int left, int right, uint32_t rank, int joined)
{
    if (!m->slot || m->n * 2 > m->mask) resize(m, m->slot ? (m->mask + 1) * 2 : 1024);
    uint64_t pair = pair_of(left, right);
    struct bpe_rule *rule = &m->slot[slot_of(m, pair)];
    if (rule->joined < 0) m->n++;
    *rule = (struct bpe_rule){ pair, rank, joined };
}

const struct bpe_rule *bpe_merges_find(const struct bpe_merges *m, int left, int right)
{
    if (!m->slot) return NULL;
    const struct bpe_rule *rule = &m->slot[slot_of(m, pair_of(left, right))];
    return rule->joined >= 0 ? rule : NULL;
}

/* ---- short words ------------------------------------------------------------------- */

static size_t apply_by_scan(const struct bpe_merges *m, int32_t *ids, size_t n)
{
    const struct bpe_rule *rule[SCAN_MAX];
    for (size_t i = 0; i + 1 < n; i++) rule[i] = bpe_merges_find(m, ids[i], ids[i + 1]);
    for (;;) {
        size_t best = n;
        for (size_t i = 0; i + 1 < n; i++)
            if (rule[i] && (best == n || rule[i]->rank < rule[best]->rank)) best = i;
        if (best == n) return n;

        ids[best] = rule[best]->joined;
        memmove(ids + best + 1, ids + best + 2, (n - best - 2) * sizeof *ids);
        if (best + 2 < n) memmove(rule + best, rule + best + 1, (n - best - 2) * sizeof *rule);
        n--;
        if (best > 0) rule[best - 1] = bpe_merges_find(m, ids[best - 1], ids[best]);
        if (best + 1 < n) rule[best] = bpe_merges_find(m, ids[best], ids[best + 1]);
    }
}

/* ---- long words: a heap of events over a linked list ----------------------------------- */

static bool before(const struct bpe_event *a, const struct bpe_event *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(struct bpe_work *w, struct bpe_event event)
{
    if (w->n_heap == w->heap_room) {
        w->heap_room = w->heap_room ? w->heap_room * 2 : 256;
        w->heap = grown(w->heap, w->heap_room, sizeof *w->heap);
    }
    size_t i = w->n_heap++;
    for (; i && before(&event, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = event;
}

static struct bpe_event pop(struct bpe_work *w)
{
    struct bpe_event top = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < w->n_heap) {
        if (child + 1 < w->n_heap && before(&w->heap[child + 1], &w->heap[child])) child++;
        if (!before(&w->heap[child], &last)) break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return top;
}

static void propose(const struct bpe_merges *m, struct bpe_work *w, int32_t at)
{
    int32_t next = at < 0 ? -1 : w->link[at].next;
    if (next < 0) return;
    int32_t left = w->link[at].id, right = w->link[next].id;
    const struct bpe_rule *rule = bpe_merges_find(m, left, right);
    if (rule) push(w, (struct bpe_event){ rule->rank, at, left, right, rule->joined });
}

static bool is_stale(const struct bpe_work *w, const struct bpe_event *event)
{
    int32_t next = w->link[event->at].next;
    return w->link[event->at].id != event->left || next < 0 || w->link[next].id != event->right;
}

static void join(struct bpe_work *w, const struct bpe_event *event)
{
    struct bpe_link *left = &w->link[event->at], *right = &w->link[left->next];
    left->id = event->joined;
    right->id = -1;
    left->next = right->next;
    if (left->next >= 0) w->link[left->next].prev = event->at;
}

static void link_up(struct bpe_work *w, const int32_t *ids, size_t n)
{
    if (n > w->room) w->link = grown(w->link, w->room = n, sizeof *w->link);
    for (size_t i = 0; i < n; i++)
        w->link[i] = (struct bpe_link){ ids[i], (int32_t)i - 1, i + 1 < n ? (int32_t)i + 1 : -1 };
    w->n_heap = 0;
}

static size_t apply_by_heap(const struct bpe_merges *m, struct bpe_work *w, int32_t *ids, size_t n)
{
    link_up(w, ids, n);
    for (size_t i = 0; i + 1 < n; i++) propose(m, w, (int32_t)i);
    while (w->n_heap) {
        struct bpe_event event = pop(w);
        if (is_stale(w, &event)) continue;
        join(w, &event);
        propose(m, w, w->link[event.at].prev);
        propose(m, w, event.at);
    }
    size_t out = 0;
    for (int32_t i = 0; i >= 0; i = w->link[i].next) ids[out++] = w->link[i].id;
    return out;
}

void bpe_work_release(struct bpe_work *work)
{
    free(work->link);
    free(work->heap);
    *work = (struct bpe_work){ 0 };
}

size_t bpe_merges_apply(const struct bpe_merges *m, struct bpe_work *work, int32_t *ids, size_t n)
{
    if (n < 2) return n;
    return n <= SCAN_MAX ? apply_by_scan(m, ids, n) : apply_by_heap(m, work, ids, n);
}
