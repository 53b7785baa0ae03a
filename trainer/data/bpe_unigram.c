#include "trainer/data/bpe_unigram.h"

#include <math.h>
#include <stdlib.h>

#include "trainer/data/bpe_bytes.h"

enum { UNKNOWN_PENALTY = 10 };

void bpe_unigram_set(struct bpe_unigram *u, int id, double score)
{
    if (id >= u->n) {
        int n = id + 1 > 2 * u->n ? id + 1 : 2 * u->n;
        u->score = realloc(u->score, (size_t)n * sizeof *u->score);
        if (!u->score) abort();
        while (u->n < n) u->score[u->n++] = NAN;
    }
    u->score[id] = score;
}

void bpe_unigram_finish(struct bpe_unigram *u, const struct bpe_vocab *vocab)
{
    u->least = INFINITY;
    for (int id = 0; id < u->n && id < vocab->n; id++) {
        size_t len;
        bpe_vocab_text(vocab, id, &len);
        if (isnan(u->score[id])) continue;
        if (u->score[id] < u->least) u->least = u->score[id];
        if (len > u->longest) u->longest = len;
    }
}

void bpe_unigram_release(struct bpe_unigram *u)
{
    free(u->score);
    *u = (struct bpe_unigram){ 0 };
}

void bpe_lattice_release(struct bpe_lattice *lattice)
{
    free(lattice->node);
    *lattice = (struct bpe_lattice){ 0 };
}

static struct bpe_node *nodes_for(struct bpe_lattice *lattice, size_t len)
{
    if (len >= lattice->room) {
        free(lattice->node);
        lattice->room = 2 * len + 64;
        lattice->node = malloc(lattice->room * sizeof *lattice->node);
        if (!lattice->node) abort();
    }
    for (size_t i = 0; i <= len; i++) lattice->node[i] = (struct bpe_node){ .best = NAN };
    lattice->node[0].best = 0;
    return lattice->node;
}

static void offer(struct bpe_node *end, double best, size_t from, int id)
{
    if (!isnan(end->best) && !(best > end->best)) return;
    end->best = best;
    end->from = (uint32_t)from;
    end->id = id;
}

static size_t rune_length(const char *at, size_t left)
{
    int rune;
    size_t n = bpe_rune(at, left, &rune);
    return n ? n : 1;
}

/* All tokens that start at `i`, shorter ones first. */
static void offer_tokens(const struct bpe_unigram *u, const struct bpe_vocab *vocab,
                         struct bpe_node *node, const char *word, size_t len, size_t i)
{
    size_t first = rune_length(word + i, len - i), n = 0;
    bool single = false;
    while (i + n < len && n < u->longest) {
        n += rune_length(word + i + n, len - i - n);
        if (n > u->longest) break;
        int id = bpe_vocab_find(vocab, word + i, n);
        if (id < 0 || id >= u->n || isnan(u->score[id])) continue;
        single = single || n == first;
        offer(&node[i + n], node[i].best + u->score[id], i, id);
    }
    if (!single) offer(&node[i + first], node[i].best + u->least - UNKNOWN_PENALTY, i, -1);
}

const struct bpe_node *bpe_unigram_run(const struct bpe_unigram *u, const struct bpe_vocab *vocab,
                                       struct bpe_lattice *lattice, const char *word, size_t len)
{
    struct bpe_node *node = nodes_for(lattice, len);
    for (size_t i = 0; i < len; i += rune_length(word + i, len - i))
        offer_tokens(u, vocab, node, word, len, i);
    for (size_t end = len; end; end = node[end].from) node[node[end].from].next = (uint32_t)end;
    return node;
}
