#include "clients/cli/show.h"

#include <math.h>
#include <string.h>
#include "clients/cli/look.h"
#include "clients/cli/table.h"
#include "clients/cli/text.h"

static char *show_text(char *out, json_t *value)
{
    if (json_is_string(value))
        snprintf(out, SHOW_MAX, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(out, SHOW_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_number(value))
        snprintf(out, SHOW_MAX, "%g", json_number_value(value));
    else
        snprintf(out, SHOW_MAX, "%s",
                 json_is_true(value)    ? "yes"
                 : json_is_false(value) ? "no"
                                        : "-");
    return out;
}

/* 2026-01-31T12:00:00.123456Z -> 2026-01-31 12:00:00 */
static char *show_time(char *out, json_t *value)
{
    show_text(out, value);
    if (strlen(out) >= 19 && out[10] == 'T') out[10] = ' ', out[19] = '\0';
    return out;
}

char *show_value(char *out, json_t *resource, const struct show *show)
{
    double number = look_number(resource, show->path);
    switch (show->how) {
    case SHOW_WHOLE: return text_number(out, number, 0);
    case SHOW_COUNT: return text_count(out, number);
    case SHOW_BYTES: return text_bytes(out, number);
    case SHOW_PERCENT: return text_percent(out, number);
    case SHOW_SECONDS: return text_duration(out, number);
    case SHOW_LOSS: return text_number(out, number, 4);
    case SHOW_TIME: return show_time(out, look_at(resource, show->path));
    case SHOW_TEXT: break;
    }
    return show_text(out, look_at(resource, show->path));
}

void show_list(json_t *items, const struct show *columns, FILE *out)
{
    struct table table;
    char text[SHOW_MAX];
    json_t *item;
    size_t i;
    table_init(&table);
    for (const struct show *c = columns; c->label; c++) {
        bool left = c->how == SHOW_TEXT || c->how == SHOW_TIME;
        table_column(&table, c->label, left ? TABLE_LEFT : TABLE_RIGHT);
    }
    json_array_foreach(items, i, item) for (const struct show *c = columns; c->label; c++)
        table_cell(&table, "%s", show_value(text, item, c));
    table_print(&table, out);
    table_release(&table);
}

void show_card(json_t *resource, const struct show *lines, FILE *out)
{
    struct table table;
    char text[SHOW_MAX];
    table_init(&table);
    table_column(&table, look_string(resource, "id", ""), TABLE_LEFT);
    table_column(&table, look_string(resource, "name", ""), TABLE_LEFT);
    for (const struct show *l = lines; l->label; l++) {
        if (!strcmp(show_value(text, resource, l), "-")) continue;
        table_cell(&table, "%s", l->label);
        table_cell(&table, "%s", text);
    }
    table_print(&table, out);
    table_release(&table);
}
