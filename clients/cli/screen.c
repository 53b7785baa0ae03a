#include "clients/cli/screen.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SCREEN_MAX_BYTES = 64 * 1024 };

void screen_init(struct screen *screen, bool live)
{
    screen->live = live;
    screen->drawn = 0;
    buf_init(&screen->text, SCREEN_MAX_BYTES);
}

int screen_columns(void)
{
    struct winsize size;
    return !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : 80;
}

/* Bytes of `line` that fit into `columns`, never half a character. */
static int fitting_bytes(const char *line, size_t len, int columns)
{
    size_t i = 0;
    for (; i < len; i++)
        if (((unsigned char)line[i] & 0xC0) != 0x80 && columns-- == 0) break;
    return (int)i;
}

void screen_draw(struct screen *screen)
{
    const char *line = screen->text.bytes;
    if (!screen->live || !line) return;
    int columns = screen_columns(), n = 0;
    if (screen->drawn) printf("\x1b[%dA", screen->drawn);
    for (const char *end; (end = strchr(line, '\n')); line = end + 1, n++)
        printf("%.*s\x1b[K\n", fitting_bytes(line, (size_t)(end - line), columns), line);
    printf("\x1b[J");
    fflush(stdout);
    screen->drawn = n;
    buf_clear(&screen->text);
}

void screen_release(struct screen *screen) { buf_release(&screen->text); }
