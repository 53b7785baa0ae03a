#include "trainer/data/bpe_scores.h"

#include <stdlib.h>
#include <string.h>

static int by_score(const void *a, const void *b)
{
    const struct bpe_scored *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Every cut of the token into two others. */
static void add_cuts(struct bpe *bpe, int id, uint32_t rank)
{
    size_t len;
    const char *text = bpe_vocab_text(&bpe->vocab, id, &len);
    for (size_t n = 1; n < len; n++) {
        int left = bpe_vocab_find(&bpe->vocab, text, n);
        int right = left < 0 ? -1 : bpe_vocab_find(&bpe->vocab, text + n, len - n);
        if (right >= 0) bpe_merges_add(&bpe->merges, left, right, rank, id);
    }
}

void bpe_rules_from_scores(struct bpe *bpe, struct bpe_scored *list, size_t n)
{
    if (n) qsort(list, n, sizeof *list, by_score);
    for (size_t i = 0; i < n; i++) add_cuts(bpe, list[i].id, (uint32_t)i);
}

enum status bpe_add_whole(struct bpe *bpe, int id, const char *text, size_t len, bool special,
                          struct error *err)
{
    struct bpe_added_token token = { .id = id, .len = len, .special = special };
    if (len > BPE_MAX_ADDED_BYTES || bpe_vocab_find(&bpe->vocab, text, len) != id) return OK;
    token.text = strndup(text, len);
    if (!token.text) abort();
    bpe_added_add(&bpe->added, &token, err);
    free(token.text);
    return err->status;
}

enum status bpe_use_meta_spaces(struct bpe *bpe, bool prefix, struct error *err)
{
    static const char meta[] = "\xe2\x96\x81";
    bpe->alphabet = BPE_RUNES;
    bpe->strip_space = prefix;
    if (prefix) TRY(bpe_norm_add(&bpe->norm, BPE_PREPEND, NULL, meta, err));
    return bpe_norm_add(&bpe->norm, BPE_REPLACE, " ", meta, err);
}
