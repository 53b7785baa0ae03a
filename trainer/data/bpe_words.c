#include "trainer/data/bpe_words.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/data/bpe_vocab.h"

static void *grown(void *old, size_t count, size_t size)
{
    void *p = realloc(old, count * size);
    if (!p) abort();
    return p;
}

void bpe_words_init(struct bpe_words *words, size_t max)
{
    *words = (struct bpe_words){ .max = max, .mask = 4095 };
    words->slot = calloc(words->mask + 1, sizeof *words->slot);
    if (!words->slot) abort();
}

void bpe_words_release(struct bpe_words *words)
{
    free(words->word);
    free(words->text);
    free(words->slot);
    *words = (struct bpe_words){ 0 };
}

static uint32_t *slot_of(struct bpe_words *words, const char *text, size_t len)
{
    size_t i = bpe_hash(text, len) & words->mask;
    for (; words->slot[i]; i = (i + 1) & words->mask) {
        const struct bpe_word *word = &words->word[words->slot[i] - 1];
        if (word->len == len && !memcmp(words->text + word->at, text, len)) break;
    }
    return &words->slot[i];
}

static void rehash(struct bpe_words *words, size_t slots)
{
    free(words->slot);
    words->slot = calloc(slots, sizeof *words->slot);
    if (!words->slot) abort();
    words->mask = slots - 1;
    for (size_t i = 0; i < words->n; i++) {
        const struct bpe_word *word = &words->word[i];
        *slot_of(words, words->text + word->at, word->len) = (uint32_t)i + 1;
    }
}

/* Keeps the words seen more than `least` times, in their order. */
static void forget(struct bpe_words *words, uint64_t least)
{
    size_t kept = 0, n_text = 0;
    for (size_t i = 0; i < words->n; i++) {
        struct bpe_word word = words->word[i];
        if (word.count <= least) continue;
        memmove(words->text + n_text, words->text + word.at, word.len);
        word.at = n_text;
        n_text += word.len;
        words->word[kept++] = word;
    }
    words->n = kept;
    words->n_text = n_text;
    rehash(words, words->mask + 1);
}

static void make_room(struct bpe_words *words, size_t len)
{
    if (words->n >= words->max)
        for (uint64_t least = 1; words->n > words->max / 2; least *= 2) forget(words, least);
    if (words->n == words->room) {
        words->room = words->room ? words->room * 2 : 1024;
        words->word = grown(words->word, words->room, sizeof *words->word);
    }
    while (words->n_text + len > words->text_room) {
        words->text_room = words->text_room ? words->text_room * 2 : 1 << 16;
        words->text = grown(words->text, words->text_room, 1);
    }
    if (words->n * 2 > words->mask) rehash(words, (words->mask + 1) * 2);
}

void bpe_words_add(struct bpe_words *words, const char *text, size_t len)
{
    uint32_t *slot = slot_of(words, text, len);
    if (*slot) {
        words->word[*slot - 1].count++;
        return;
    }
    make_room(words, len);
    memcpy(words->text + words->n_text, text, len);
    words->word[words->n++] = (struct bpe_word){ 1, words->n_text, (uint32_t)len };
    words->n_text += len;
    *slot_of(words, text, len) = (uint32_t)words->n;
}
