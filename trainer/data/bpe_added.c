#include "trainer/data/bpe_added.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/data/bpe_scan.h"

static void make_room(struct bpe_added *added)
{
    if (!added->n) memset(added->first, -1, sizeof added->first);
    if (added->n < added->room) return;
    added->room = added->room ? added->room * 2 : 16;
    added->token = realloc(added->token, (size_t)added->room * sizeof *added->token);
    if (!added->token) abort();
}

static void link_up(struct bpe_added *added, int i)
{
    struct bpe_added_token *token = added->token;
    int *link = &added->first[token[i].normalized][(unsigned char)*token[i].text];
    while (*link >= 0 && token[*link].len >= token[i].len) link = &token[*link].next;
    token[i].next = *link;
    *link = i;
}

enum status bpe_added_add(struct bpe_added *added, const struct bpe_added_token *token,
                          struct error *err)
{
    if (!token->len || token->len > BPE_MAX_ADDED_BYTES)
        return fail(err, E_INPUT, "the added token %d has %zu bytes, outside 1..%d", token->id,
                    token->len, BPE_MAX_ADDED_BYTES);
    if (added->n == BPE_MAX_ADDED)
        return fail(err, E_LIMIT, "more than %d added tokens", BPE_MAX_ADDED);
    make_room(added);
    struct bpe_added_token *mine = &added->token[added->n];
    *mine = *token;
    mine->text = malloc(token->len + 1);
    if (!mine->text) abort();
    memcpy(mine->text, token->text, token->len);
    mine->text[token->len] = '\0';
    link_up(added, added->n++);
    return OK;
}

void bpe_added_release(struct bpe_added *added)
{
    for (int i = 0; i < added->n; i++) free(added->token[i].text);
    free(added->token);
    added->token = NULL;
    added->n = added->room = 0;
}

/* Back over one character. */
static size_t before(const char *text, size_t at)
{
    do at--;
    while (at && ((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

static bool stands_alone(const char *text, size_t len, size_t start, size_t end)
{
    size_t n, left = start ? before(text, start) : 0;
    if (start && bpe_is_word(text + left, len - left, &n)) return false;
    return end == len || !bpe_is_word(text + end, len - end, &n);
}

static const struct bpe_added_token *token_at(const struct bpe_added *added, bool normalized,
                                              const char *text, size_t len, size_t at)
{
    for (int i = added->first[normalized][(unsigned char)text[at]]; i >= 0;
         i = added->token[i].next) {
        const struct bpe_added_token *token = &added->token[i];
        if (token->len <= len - at && !memcmp(token->text, text + at, token->len)) return token;
    }
    return NULL;
}

static void take_along(const struct bpe_added_token *token, const char *text, size_t len,
                       size_t floor, size_t *start, size_t *end)
{
    size_t n;
    while (token->lstrip && *start > floor) {
        size_t left = before(text, *start);
        if (left < floor || !bpe_is_space(text + left, len - left, &n)) break;
        *start = left;
    }
    while (token->rstrip && *end < len && bpe_is_space(text + *end, len - *end, &n)) *end += n;
}

const struct bpe_added_token *bpe_added_find(const struct bpe_added *added, bool normalized,
                                             const char *text, size_t len, size_t from,
                                             size_t floor, size_t *start, size_t *end)
{
    if (!added->n) return NULL;
    for (size_t at = from; at < len; at++) {
        if (added->first[normalized][(unsigned char)text[at]] < 0) continue;
        const struct bpe_added_token *token = token_at(added, normalized, text, len, at);
        if (!token) continue;
        *start = at;
        *end = at + token->len;
        if (token->single_word && !stands_alone(text, len, *start, *end)) {
            at = *end - 1; /* as the reference does: the match is spent */
            continue;
        }
        take_along(token, text, len, floor, start, end);
        return token;
    }
    return NULL;
}
