#include "server/pg/pg_prepared.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void pg_prepared_clear(struct pg_prepared *set)
{
    free(set->entries);
    *set = (struct pg_prepared){ 0 };
}

/* The slot of `sql`, or the empty one where it belongs. */
static struct pg_prepared_entry *slot(struct pg_prepared *set, const char *sql)
{
    size_t i = (size_t)(((uint64_t)(uintptr_t)sql * 0x9e3779b97f4a7c15u) >> 32);
    while (set->entries[i & (set->capacity - 1)].sql &&
           set->entries[i & (set->capacity - 1)].sql != sql)
        i++;
    return &set->entries[i & (set->capacity - 1)];
}

static void grow(struct pg_prepared *set)
{
    struct pg_prepared old = *set;
    set->capacity = old.capacity ? old.capacity * 2 : 64;
    set->entries = calloc(set->capacity, sizeof *set->entries);
    if (!set->entries) abort();
    for (size_t i = 0; i < old.capacity; i++)
        if (old.entries[i].sql) *slot(set, old.entries[i].sql) = old.entries[i];
    free(old.entries);
}

struct pg_prepared_entry *pg_prepared_of(struct pg_prepared *set, const char *sql)
{
    if (set->n * 2 >= set->capacity) grow(set);
    struct pg_prepared_entry *entry = slot(set, sql);
    if (!entry->sql) {
        *entry = (struct pg_prepared_entry){ .sql = sql, .number = set->next_number++ };
        set->n++;
    }
    return entry;
}

void pg_prepared_name(const struct pg_prepared_entry *entry, char out[16])
{
    snprintf(out, 16, "s%u", entry->number);
}

void pg_prepared_forget(struct pg_prepared *set, const char *sql)
{
    struct pg_prepared_entry *entry = pg_prepared_of(set, sql);
    entry->state = PG_UNPREPARED;
    entry->number = set->next_number++;
}
