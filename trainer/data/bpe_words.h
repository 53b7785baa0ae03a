#ifndef TRAINER_DATA_BPE_WORDS_H
#define TRAINER_DATA_BPE_WORDS_H

#include <stddef.h>
#include <stdint.h>

/*
 * How often each word was seen. Words are any bytes; their text lives in one block.
 * When there are more than `max` words, those seen least often are forgotten, a
 * threshold at a time, until half the room is free.
 */
struct bpe_word {
    uint64_t count;
    size_t at; /* in text */
    uint32_t len;
};

struct bpe_words {
    struct bpe_word *word;
    size_t n, room, max;
    char *text;
    size_t n_text, text_room;
    uint32_t *slot; /* open addressing: index + 1, or 0 */
    size_t mask;
};

void bpe_words_init(struct bpe_words *words, size_t max);
void bpe_words_release(struct bpe_words *words);
void bpe_words_add(struct bpe_words *words, const char *word, size_t len);

#endif
