#ifndef CLIENTS_CLI_SHOW_H
#define CLIENTS_CLI_SHOW_H

#include <jansson.h>
#include <stdio.h>

/*
 * How a resource is shown to people: a table of what to show and how. The same
 * table makes a list (one row a resource) or a card (one line a member).
 * Members that the service does not send are "-" in lists and left out of cards.
 */
enum show_how {
    SHOW_TEXT,
    SHOW_WHOLE, /* 1234 */
    SHOW_COUNT, /* 1.23k */
    SHOW_BYTES,
    SHOW_PERCENT, /* of a share 0..1 */
    SHOW_SECONDS,
    SHOW_LOSS, /* four decimals */
    SHOW_TIME, /* RFC 3339, shown without fractions of a second */
};

enum { SHOW_MAX = 512 };

struct show {
    const char *label; /* NULL ends a table */
    const char *path;  /* see look.h */
    enum show_how how;
};

/* One member as text; `out` has SHOW_MAX bytes. Returns `out`. */
char *show_value(char *out, json_t *resource, const struct show *show);

void show_list(json_t *items, const struct show *columns, FILE *out);
void show_card(json_t *resource, const struct show *lines, FILE *out);

#endif
