#ifndef SERVER_PG_MIGRATE_H
#define SERVER_PG_MIGRATE_H

#include <stddef.h>
#include "search/base/error.h"

/*
 * Brings a database to the schema this program was built with. Runs before the
 * loop does, and waits.
 *
 * Each file of sql/ is applied once, in order of its number, in a transaction of its
 * own in which its row of the table `migration` (number, name, sha256, applied_at) is
 * written first. An advisory lock keeps rivals apart: the second one waits, then
 * finds nothing to do.
 *
 * Refused, with nothing changed:
 *   - a database that records a migration we do not know: a newer program was here;
 *   - a file whose SHA-256 differs from the recorded one: history was edited;
 *   - a new file whose number is below one already applied.
 */
struct migration {
    int number;
    const char *name; /* "0001_searches.sql" */
    const char *sql;  /* NUL-terminated */
};

/* The files of sql/ embedded at build, by number; `number` 0 ends them. */
extern const struct migration migrations[];

/* E_BUSY: the database cannot be reached, try again; E_CONFLICT: refused as above;
 * E_DB: a migration failed and was rolled back. */
enum status migrate(const char *conninfo, const struct migration *list, struct error *err);

#endif
