#ifndef SERVER_JOBS_LAST_WORDS_H
#define SERVER_JOBS_LAST_WORDS_H

#include <stdbool.h>
#include "server/app.h"

/*
 * What an attempt last wrote to its standard error: why it died, or, before its trainer speaks,
 * what its launcher waits for ("srun: job 12 queued and waiting for resources"). One line, as
 * clients may see it: no folder of the server, and mended (search/base/utf8.h).
 */
struct last_words {
    const char *path; /* of the log; the caller's */
    long from;        /* earlier attempts wrote what is before */
    char text[200];   /* "": nothing yet */
};

/* Hears what is written from now on. */
void last_words_begin(struct last_words *words, const char *path);

/* Reads the last line that has something in it. True when it is not what it was before. */
bool last_words_read(struct last_words *words, const struct app *app);

#endif
