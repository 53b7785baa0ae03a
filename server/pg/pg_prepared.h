#ifndef SERVER_PG_PG_PREPARED_H
#define SERVER_PG_PG_PREPARED_H

#include <stddef.h>

/*
 * Which statements one connection has prepared, by the address of their text.
 *
 *   UNPREPARED ──sent──► PREPARING ──confirmed──► PREPARED
 *        ▲                   │                       │
 *        └──── refused or rolled back, or stale ─────┘   (with a fresh name)
 *
 * Only a PREPARED statement may be executed by name: what is pipelined behind an
 * unconfirmed one would fail with it.
 */
enum pg_prepared_state { PG_UNPREPARED, PG_PREPARING, PG_PREPARED };

struct pg_prepared_entry {
    const char *sql;
    enum pg_prepared_state state;
    unsigned number; /* its name is "s<number>" */
};

struct pg_prepared {
    struct pg_prepared_entry *entries; /* open addressing, at most half full */
    size_t n, capacity;
    unsigned next_number;
};

/* Forgets everything: the connection is new. */
void pg_prepared_clear(struct pg_prepared *set);

/* The entry of a statement, made when missing. Valid until the next call. */
struct pg_prepared_entry *pg_prepared_of(struct pg_prepared *set, const char *sql);

void pg_prepared_name(const struct pg_prepared_entry *entry, char out[16]);

/* Back to UNPREPARED under a new name. */
void pg_prepared_forget(struct pg_prepared *set, const char *sql);

#endif
