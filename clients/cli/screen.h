#ifndef CLIENTS_CLI_SCREEN_H
#define CLIENTS_CLI_SCREEN_H

#include <stdbool.h>
#include "search/base/buf.h"

/*
 * A few lines at the bottom of a terminal that are drawn again and again in
 * place. Build the lines in `text`, then screen_draw. Lines wider than the
 * terminal are cut, so the cursor always finds its way back. On anything but a
 * terminal (`live` is false) nothing is drawn: print lines instead.
 */
struct screen {
    bool live;
    int drawn;       /* lines on the terminal now */
    struct buf text; /* the lines of the next frame, each ending in '\n' */
};

void screen_init(struct screen *screen, bool live);

/* Draws `text` over the last frame, and empties it. */
void screen_draw(struct screen *screen);

/* Leaves the last frame standing; what follows is printed below it. */
void screen_release(struct screen *screen);

/* Columns of the terminal; 80 when there is none. */
int screen_columns(void);

#endif
