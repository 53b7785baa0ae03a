#include "clients/cli/table.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>
#include "clients/cli/text.h"

enum { TABLE_MAX_BYTES = 64 << 20, CELL_MAX_BYTES = 1024 };

void table_init(struct table *table)
{
    memset(table, 0, sizeof *table);
    buf_init(&table->cells, TABLE_MAX_BYTES);
}

void table_release(struct table *table) { buf_release(&table->cells); }

static void add(struct table *table, char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    int column = table->n_cells++ % table->n_columns;
    size_t columns = text_columns(text);
    if (columns > table->width[column]) table->width[column] = columns;
    buf_put(&table->cells, text, strlen(text) + 1);
}

void table_column(struct table *table, const char *heading, enum table_align align)
{
    char text[CELL_MAX_BYTES];
    assert(table->n_columns < TABLE_MAX_COLUMNS && table->n_cells == table->n_columns);
    table->align[table->n_columns++] = align;
    snprintf(text, sizeof text, "%s", heading);
    add(table, text);
}

void table_cell(struct table *table, const char *fmt, ...)
{
    char text[CELL_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    add(table, text);
}

static void print_cell(const struct table *table, int column, const char *cell, FILE *out)
{
    int pad = (int)(table->width[column] - text_columns(cell));
    bool last = column == table->n_columns - 1;
    if (table->align[column] == TABLE_RIGHT)
        fprintf(out, "%*s%s", pad, "", cell);
    else
        fprintf(out, "%s%*s", cell, last ? 0 : pad, "");
    fputs(last ? "\n" : "  ", out);
}

void table_print(const struct table *table, FILE *out)
{
    const char *cell = table->cells.bytes;
    int n = table->n_columns ? table->n_cells - table->n_cells % table->n_columns : 0;
    if (table->cells.failed) n = 0;
    for (int i = 0; i < n; i++, cell += strlen(cell) + 1)
        print_cell(table, i % table->n_columns, cell, out);
}
