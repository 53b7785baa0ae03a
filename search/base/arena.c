#include "search/base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 64
#define BLOCK_MIN 4096 /* the first block; each further one doubles */
#define BLOCK_MAX (256 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    unsigned char *bytes;
};

static size_t round_up(size_t n) { return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1); }

void arena_init(struct arena *arena, size_t ceiling)
{
    *arena = (struct arena){ .ceiling = ceiling };
}

static struct arena_block *grow(struct arena *arena, size_t want)
{
    size_t size = arena->blocks ? arena->blocks->size * 2 : BLOCK_MIN;
    if (size > BLOCK_MAX) size = BLOCK_MAX;
    if (size < want) size = want;
    struct arena_block *block = malloc(sizeof *block);
    unsigned char *bytes = aligned_alloc(ALIGN, size);
    if (!block || !bytes) {
        free(block);
        free(bytes);
        return NULL;
    }
    *block = (struct arena_block){ .next = arena->blocks, .size = size, .bytes = bytes };
    return arena->blocks = block;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
    if (size && count > (SIZE_MAX - ALIGN) / size) return NULL;
    size_t want = round_up(count * size);
    if (want > arena->ceiling - arena->used) return NULL;

    struct arena_block *block = arena->blocks;
    if (!block || want > block->size - block->used) block = grow(arena, want);
    if (!block) return NULL;

    void *out = block->bytes + block->used;
    block->used += want;
    arena->used += want;
    return memset(out, 0, want);
}

void arena_release(struct arena *arena)
{
    for (struct arena_block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        free(block->bytes);
        free(block);
    }
    arena_init(arena, arena->ceiling);
}
