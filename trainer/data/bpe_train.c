#include "trainer/data/bpe_train.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/data/bpe_bytes.h"
#include "trainer/data/bpe_family.h"
#include "trainer/data/bpe_pairs.h"
#include "trainer/data/bpe_words.h"
#include "trainer/data/bpe_write.h"

enum { FIRST_BYTE = 1, MAX_WORDS = 4 << 20 };
static const char EOD[] = "<|endoftext|>";

struct bpe_trainer {
    struct bpe_train_options options;
    struct bpe bpe; /* what comes out; its splitter and normal form cut the texts */
    struct bpe_words words;
    struct bpe_pairs pairs;
    struct buf norm, scratch;
    int32_t *symbol;  /* of all words, word i from words.word[i].at on */
    uint32_t *n_left; /* symbols left of each word */
    int32_t byte_id[256];
    struct ids touched; /* pairs that a join made more frequent */
};

/* ---- counting words ------------------------------------------------------------------------ */

static enum status check(const struct bpe_train_options *o, struct error *err)
{
    if (o->vocab_size < BPE_TRAIN_MIN_VOCAB || o->vocab_size > BPE_TRAIN_MAX_VOCAB)
        return fail(err, E_INPUT, "a vocabulary of %d tokens is outside %d..%d", o->vocab_size,
                    BPE_TRAIN_MIN_VOCAB, BPE_TRAIN_MAX_VOCAB);
    return OK;
}

enum status bpe_trainer_open(struct bpe_trainer **out, const struct bpe_train_options *options,
                             struct error *err)
{
    *out = NULL;
    TRY(check(options, err));
    struct bpe_trainer *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->options = *options;
    if (!t->options.min_count) t->options.min_count = 2;
    bpe_init(&t->bpe);
    bpe_words_init(&t->words, options->max_words ? (size_t)options->max_words : MAX_WORDS);
    bpe_pairs_init(&t->pairs);
    buf_init(&t->norm, BPE_MAX_ENCODE);
    buf_init(&t->scratch, BPE_MAX_ENCODE);
    if (bpe_set_family(&t->bpe, options->family, err))
        bpe_trainer_close(t);
    else
        *out = t;
    return err->status;
}

void bpe_trainer_close(struct bpe_trainer *t)
{
    if (!t) return;
    bpe_release(&t->bpe);
    bpe_words_release(&t->words);
    bpe_pairs_release(&t->pairs);
    buf_release(&t->norm);
    buf_release(&t->scratch);
    ids_release(&t->touched);
    free(t->symbol);
    free(t->n_left);
    free(t);
}

static void on_word(void *data, const char *word, size_t len)
{
    struct bpe_trainer *t = data;
    if (len <= BPE_TRAIN_MAX_WORD) bpe_words_add(&t->words, word, len);
}

static enum status add_valid(struct bpe_trainer *t, const char *text, size_t len, struct error *err)
{
    TRY(bpe_norm_run(&t->bpe.norm, text, len, &t->norm, &t->scratch, err));
    return bpe_split_run(&t->bpe.split, t->norm.bytes ? t->norm.bytes : "", t->norm.len, on_word, t,
                         err);
}

/* Bytes that are not UTF-8 end a word and do not count. */
enum status bpe_trainer_add(struct bpe_trainer *t, const char *text, size_t len, struct error *err)
{
    while (len) {
        size_t n = bpe_utf8_prefix(text, len);
        if (n) TRY(add_valid(t, text, n, err));
        n += n < len;
        text += n;
        len -= n;
    }
    return OK;
}

/* ---- the first tokens ---------------------------------------------------------------------- */

static enum status add_end(struct bpe_trainer *t, struct error *err)
{
    char text[sizeof EOD];
    memcpy(text, EOD, sizeof EOD);
    struct bpe_added_token token = { .text = text, .len = strlen(EOD), .id = 0, .special = true };
    TRY(bpe_vocab_add(&t->bpe.vocab, 0, EOD, token.len, err));
    return bpe_added_add(&t->bpe.added, &token, err);
}

/* Bytes by their stand-ins' code points. */
static enum status add_bytes(struct bpe_trainer *t, struct error *err)
{
    struct buf text;
    int id = FIRST_BYTE;
    buf_init(&text, 8);
    for (int rune = 0; rune < 0x200; rune++)
        for (int byte = 0; byte < 256; byte++) {
            if (bpe_byte_symbol((unsigned char)byte) != rune) continue;
            buf_clear(&text);
            bpe_put_rune(&text, rune);
            bpe_vocab_add(&t->bpe.vocab, id, text.bytes, text.len, err);
            t->byte_id[byte] = id++;
        }
    buf_release(&text);
    return err->status;
}

/* ---- joining ------------------------------------------------------------------------------- */

/* Pairs with `fresh` in them are listed as touched once per `stamp`. */
static void count_word(struct bpe_trainer *t, uint32_t w, int64_t sign, int32_t fresh,
                       uint32_t stamp)
{
    const int32_t *s = t->symbol + t->words.word[w].at;
    for (uint32_t i = 0; i + 1 < t->n_left[w]; i++) {
        uint32_t pair =
            bpe_pairs_count(&t->pairs, s[i], s[i + 1], sign * (int64_t)t->words.word[w].count, w);
        if ((s[i] != fresh && s[i + 1] != fresh) || t->pairs.pair[pair].stamp == stamp) continue;
        t->pairs.pair[pair].stamp = stamp;
        ids_put(&t->touched, (int32_t)pair);
    }
}

static void start(struct bpe_trainer *t)
{
    t->symbol = malloc((t->words.n_text + 1) * sizeof *t->symbol);
    t->n_left = malloc((t->words.n + 1) * sizeof *t->n_left);
    if (!t->symbol || !t->n_left) abort();
    for (size_t i = 0; i < t->words.n_text; i++)
        t->symbol[i] = t->byte_id[(unsigned char)t->words.text[i]];
    for (uint32_t w = 0; w < t->words.n; w++) {
        t->n_left[w] = t->words.word[w].len;
        count_word(t, w, 1, -1, 0);
    }
    for (uint32_t i = 0; i < t->pairs.n; i++) bpe_pairs_push(&t->pairs, i);
}

static bool holds(const int32_t *s, uint32_t n, int32_t left, int32_t right)
{
    for (uint32_t i = 0; i + 1 < n; i++)
        if (s[i] == left && s[i + 1] == right) return true;
    return false;
}

static void join_word(struct bpe_trainer *t, uint32_t w, const struct bpe_pair *pair,
                      int32_t joined, uint32_t stamp)
{
    int32_t *s = t->symbol + t->words.word[w].at;
    uint32_t n = t->n_left[w], out = 0;
    if (!holds(s, n, pair->left, pair->right)) return;
    count_word(t, w, -1, -1, 0);
    for (uint32_t i = 0; i < n; out++) {
        bool here = i + 1 < n && s[i] == pair->left && s[i + 1] == pair->right;
        s[out] = here ? joined : s[i];
        i += here ? 2 : 1;
    }
    t->n_left[w] = out;
    count_word(t, w, 1, joined, stamp);
}

/* Two pairs may spell the same token; then it is the token there is. */
static int joined_id(struct bpe_trainer *t, const struct bpe_pair *pair, struct error *err)
{
    struct bpe_vocab *vocab = &t->bpe.vocab;
    char text[2 * BPE_MAX_TOKEN_BYTES];
    size_t n_left, n_right;
    const char *p = bpe_vocab_text(vocab, pair->left, &n_left);
    memcpy(text, p, n_left);
    p = bpe_vocab_text(vocab, pair->right, &n_right);
    memcpy(text + n_left, p, n_right);
    int id = bpe_vocab_find(vocab, text, n_left + n_right);
    if (id >= 0) return id;
    id = vocab->n;
    bpe_vocab_add(vocab, id, text, n_left + n_right, err);
    return id;
}

static enum status join(struct bpe_trainer *t, uint32_t i, uint32_t rank, struct error *err)
{
    struct bpe_pair pair = t->pairs.pair[i];
    int joined = joined_id(t, &pair, err);
    TRY(err->status);
    bpe_merges_add(&t->bpe.merges, pair.left, pair.right, rank, joined);
    t->pairs.pair[i].word = NULL;
    t->pairs.pair[i].n_words = t->pairs.pair[i].room = 0;
    t->touched.n = 0;
    for (uint32_t k = 0; k < pair.n_words; k++) join_word(t, pair.word[k], &pair, joined, rank + 1);
    free(pair.word);
    for (size_t k = 0; k < t->touched.n; k++) bpe_pairs_push(&t->pairs, (uint32_t)t->touched.id[k]);
    return OK;
}

static enum status learn(struct bpe_trainer *t, struct error *err)
{
    uint32_t rank = 0, i;
    while (t->bpe.vocab.n < t->options.vocab_size &&
           bpe_pairs_pop(&t->pairs, t->options.min_count, &i))
        TRY(join(t, i, rank++, err));
    return OK;
}

enum status bpe_trainer_finish(struct bpe_trainer *t, struct buf *json, int *vocab_size,
                               struct error *err)
{
    if (!t->words.n) return fail(err, E_INPUT, "there is no text to train a tokenizer on");
    TRY(add_end(t, err));
    TRY(add_bytes(t, err));
    start(t);
    TRY(learn(t, err));
    TRY(bpe_finish(&t->bpe, err));
    *vocab_size = t->bpe.vocab.n;
    return bpe_write(&t->bpe, json, err);
}
