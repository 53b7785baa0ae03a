#ifndef SEARCH_BASE_ARENA_H
#define SEARCH_BASE_ARENA_H

#include <stddef.h>

/*
 * An arena owns everything allocated from it and gives it all back at once.
 * Nothing taken from an arena is freed by hand. Memory comes zeroed and aligned
 * to 64 bytes, a cache line and an AVX-512 register.
 */
struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used, ceiling;       /* bytes handed out, and the most we ever will */
};

void arena_init(struct arena *arena, size_t ceiling);

/* NULL when the ceiling is reached or count * size overflows. */
void *arena_alloc(struct arena *arena, size_t count, size_t size);

void arena_release(struct arena *arena);

#define arena_new(arena, type, count) \
    ((type *)arena_alloc((arena), (count), sizeof(type)))

#endif
