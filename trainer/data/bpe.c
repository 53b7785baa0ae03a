#include "trainer/data/bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/data/bpe_bytes.h"

static const char meta[] = "\xe2\x96\x81"; /* U+2581, sentencepiece's space */

void bpe_init(struct bpe *bpe)
{
    *bpe = (struct bpe){ .unknown = -1, .bos = -1, .eos = -1, .byte_fallback = true };
    bpe_vocab_init(&bpe->vocab);
    buf_init(&bpe->spoken, BPE_MAX_TEXT_BYTES);
}

void bpe_release(struct bpe *bpe)
{
    bpe_vocab_release(&bpe->vocab);
    bpe_merges_release(&bpe->merges);
    bpe_unigram_release(&bpe->unigram);
    bpe_split_release(&bpe->split);
    bpe_added_release(&bpe->added);
    buf_release(&bpe->spoken);
    free(bpe->spoken_at);
    free(bpe->role);
    free(bpe->outside);
    *bpe = (struct bpe){ 0 };
}

enum status bpe_add_rule(struct bpe *bpe, const char *left, size_t n_left, const char *right,
                         size_t n_right, uint32_t rank, struct error *err)
{
    char text[2 * BPE_MAX_TOKEN_BYTES];
    int a = bpe_vocab_find(&bpe->vocab, left, n_left);
    int b = bpe_vocab_find(&bpe->vocab, right, n_right);
    if (a < 0 || b < 0)
        return fail(err, E_INPUT, "merge %u joins '%.*s', which is not a token", rank,
                    (int)((a < 0 ? n_left : n_right) & 0xff), a < 0 ? left : right);
    memcpy(text, left, n_left);
    memcpy(text + n_left, right, n_right);
    int joined = bpe_vocab_find(&bpe->vocab, text, n_left + n_right);
    if (joined < 0)
        return fail(err, E_INPUT, "merge %u makes '%.*s', which is not a token", rank,
                    (int)((n_left + n_right) & 0xff), text);
    bpe_merges_add(&bpe->merges, a, b, rank, joined);
    return OK;
}

int bpe_find(const struct bpe *bpe, const char *text, size_t len)
{
    int id = bpe_vocab_find(&bpe->vocab, text, len);
    return id < 0 || bpe->outside[id] ? -1 : id;
}

/* ---- finishing ------------------------------------------------------------------------- */

static int id_of_byte(const struct bpe *bpe, int byte)
{
    char text[8];
    if (bpe->alphabet == BPE_RUNES && !bpe->byte_fallback) return -1;
    if (bpe->alphabet == BPE_RUNES) {
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)byte);
        return bpe_find(bpe, text, 6);
    }
    struct buf symbol;
    char c = (char)byte;
    buf_init(&symbol, 8);
    bpe_bytes_to_text(&symbol, &c, 1);
    int id = bpe_find(bpe, symbol.bytes, symbol.len);
    buf_release(&symbol);
    return id;
}

/* <0xXX> gives its byte, other text its characters with spaces for U+2581. */
static void speak_runes(struct buf *out, const char *text, size_t len)
{
    unsigned byte;
    char close;
    if (len == 6 && sscanf(text, "<0x%2X%c", &byte, &close) == 2 && close == '>') {
        buf_putc(out, (char)byte);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        bool space = len - i >= 3 && !memcmp(text + i, meta, 3);
        buf_putc(out, space ? ' ' : text[i]);
        if (space) i += 2;
    }
}

static void speak(struct bpe *bpe, int id)
{
    size_t len;
    const char *text = bpe_vocab_text(&bpe->vocab, id, &len);
    if (bpe->role[id])
        buf_put(&bpe->spoken, text, len);
    else if (bpe->alphabet == BPE_RUNES)
        speak_runes(&bpe->spoken, text, len);
    else if (!bpe_text_to_bytes(&bpe->spoken, text, len))
        buf_put(&bpe->spoken, text, len);
}

/* Does some token have U+2581 behind another character? Then words may not be cut there. */
static bool crosses_spaces(const struct bpe_vocab *vocab)
{
    for (int id = 0; id < vocab->n; id++) {
        size_t len;
        const char *text = bpe_vocab_text(vocab, id, &len);
        bool inside = true;
        for (size_t i = 0; i < len; i++) {
            bool here = len - i >= 3 && !memcmp(text + i, meta, 3);
            if (here && !inside) return true;
            inside = here;
            if (here) i += 2;
        }
    }
    return false;
}

static void note_added(struct bpe *bpe, int n)
{
    bpe->role = calloc((size_t)n, 1);
    bpe->outside = calloc((size_t)n, sizeof *bpe->outside);
    if (!bpe->role || !bpe->outside) abort();
    for (int i = 0; i < bpe->added.n; i++) {
        const struct bpe_added_token *token = &bpe->added.token[i];
        if (token->id < 0 || token->id >= n) continue;
        bpe->role[token->id] = token->special ? BPE_SPECIAL : BPE_ADDED;
        bpe->outside[token->id] |= token->outside;
    }
}

enum status bpe_finish(struct bpe *bpe, struct error *err)
{
    int n = bpe->vocab.n;
    if (!n) return fail(err, E_INPUT, "the vocabulary is empty");
    note_added(bpe, n);
    for (int c = 0; c < 256; c++) bpe->byte_id[c] = id_of_byte(bpe, c);
    if (bpe->unigram.score) bpe_unigram_finish(&bpe->unigram, &bpe->vocab);
    bpe->spoken_at = calloc((size_t)n + 1, sizeof *bpe->spoken_at);
    if (!bpe->spoken_at) abort();

    for (int id = 0; id < n; id++) {
        bpe->spoken_at[id] = (uint32_t)bpe->spoken.len;
        speak(bpe, id);
    }
    bpe->spoken_at[n] = (uint32_t)bpe->spoken.len;
    if (bpe->spoken.failed) return fail(err, E_LIMIT, "the vocabulary has too much text");
    if (bpe->alphabet == BPE_RUNES && !bpe->split.n && !crosses_spaces(&bpe->vocab))
        return bpe_split_add(&bpe->split, BPE_STEP_META, NULL, err);
    return OK;
}

/* ---- decoding --------------------------------------------------------------------------- */

enum status bpe_decode(const struct bpe *bpe, const int32_t *ids, size_t n, bool skip_special,
                       struct buf *out, struct error *err)
{
    size_t start = out->len;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= bpe->vocab.n)
            return fail(err, E_INPUT, "the id %d is outside the vocabulary of %d", ids[i],
                        bpe->vocab.n);
        if (skip_special && bpe->role[ids[i]] == BPE_SPECIAL) continue;
        uint32_t at = bpe->spoken_at[ids[i]];
        size_t len = bpe->spoken_at[ids[i] + 1] - at;
        bool strip = bpe->strip_space && out->len == start && len && bpe->spoken.bytes[at] == ' ' &&
                     !bpe->role[ids[i]];
        buf_put(out, bpe->spoken.bytes + at + strip, len - strip);
        if (strip) start = SIZE_MAX; /* once */
    }
    return out->failed ? fail(err, E_LIMIT, "the decoded text passes %zu bytes", out->ceiling) : OK;
}
