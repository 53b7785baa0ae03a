#include "server/jobs/last_words.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "search/base/utf8.h"
#include "server/jobs/places.h"

enum { TAIL = 1024 };

void last_words_begin(struct last_words *words, const char *path)
{
    struct stat log;
    *words = (struct last_words){ .path = path, .from = stat(path, &log) ? 0 : (long)log.st_size };
}

/* The end of what was written since then; how long it is. */
static size_t tail_of(const struct last_words *words, char *tail)
{
    FILE *file = fopen(words->path, "re");
    if (!file) return 0;
    bool far = !fseek(file, -(long)TAIL, SEEK_END) && ftell(file) > words->from;
    size_t n = far || !fseek(file, words->from, SEEK_SET) ? fread(tail, 1, TAIL, file) : 0;
    fclose(file);
    return n;
}

/* The start of the last line in `text`, after its trailing newlines are cut off. */
static char *last_line(char *text)
{
    size_t n = strlen(text);
    while (n && strchr("\r\n ", text[n - 1])) text[--n] = 0;
    char *newline = strrchr(text, '\n');
    return newline ? newline + 1 : text;
}

bool last_words_read(struct last_words *words, const struct app *app)
{
    char tail[TAIL + 1], was[sizeof words->text];
    memcpy(was, words->text, sizeof was);
    tail[tail_of(words, tail)] = 0;
    char *line = last_line(tail);
    places_hide(app, line);
    line[sizeof words->text - 1 < strlen(line) ? sizeof words->text - 1 : strlen(line)] = 0;
    utf8_mend(line);
    strcpy(words->text, line);
    return strcmp(was, words->text);
}
