#ifndef CLIENTS_CLI_TABLE_H
#define CLIENTS_CLI_TABLE_H

#include <stdio.h>
#include "search/base/buf.h"

/*
 * A table for people: columns as wide as their widest cell, two blanks between
 * them, a heading, no rules. Fill it cell by cell, row after row; numbers go to
 * right-aligned columns. Cells are text in UTF-8; control characters become '?',
 * so that a hostile name cannot move the cursor.
 *
 *     struct table t;
 *     table_init(&t);
 *     table_column(&t, "id", TABLE_LEFT);
 *     table_column(&t, "tokens", TABLE_RIGHT);
 *     table_cell(&t, "%s", id);
 *     table_cell(&t, "%d", tokens);
 *     table_print(&t, stdout);
 *     table_release(&t);
 */
enum table_align { TABLE_LEFT, TABLE_RIGHT };

enum { TABLE_MAX_COLUMNS = 40 };

struct table {
    struct buf cells; /* NUL-terminated, one after another, headings first */
    int n_columns, n_cells;
    enum table_align align[TABLE_MAX_COLUMNS];
    size_t width[TABLE_MAX_COLUMNS];
};

void table_init(struct table *table);
void table_release(struct table *table);

/* Columns first, then cells. */
void table_column(struct table *table, const char *heading, enum table_align align);
void table_cell(struct table *table, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Prints complete rows. A table without rows prints its heading only. */
void table_print(const struct table *table, FILE *out);

#endif
