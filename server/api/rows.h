#ifndef SERVER_API_ROWS_H
#define SERVER_API_ROWS_H

#include <libpq-fe.h>
#include "search/base/emit.h"

/*
 * Rows of PostgreSQL straight into JSON text: no tree, no copy in between. A column's name
 * is the member's key and its type decides how it is written:
 *
 *   numbers as they are (infinities and NaN as null), booleans, json and jsonb as they are,
 *   arrays of whole numbers, timestamptz as RFC 3339, everything else as a string; NULL is null.
 *
 * "totals.params" is member params of object totals; columns of one object stand together.
 * A column whose name begins with '_' is for us and is left out.
 */
void rows_members(struct emit *e, const PGresult *rows, int row);

/* The members above as one object. */
void rows_object(struct emit *e, const PGresult *rows, int row);

/* The first `n` rows as an array of objects. */
void rows_array(struct emit *e, const PGresult *rows, int n);

/* One value alone. */
void rows_value(struct emit *e, const PGresult *rows, int row, int column);

#endif
