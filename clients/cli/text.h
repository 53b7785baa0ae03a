#ifndef CLIENTS_CLI_TEXT_H
#define CLIENTS_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Numbers as people read them. Each writes into `out` (at least TEXT_MAX bytes)
 * and returns it, so it can stand in a printf. NaN, which is how a missing
 * member reads (look.h), becomes "-".
 */
enum { TEXT_MAX = 32 };

char *text_count(char *out, double value);              /* 534, 81.2k, 1.25M, 3.40G */
char *text_bytes(char *out, double value);              /* 512 B, 1.5 KiB, 38.0 MiB */
char *text_duration(char *out, double seconds);         /* 4.2s, 3m12s, 2h05m, 3d04h */
char *text_percent(char *out, double share);            /* 0.31 -> 31.0% */
char *text_number(char *out, double value, int digits); /* fixed decimals */

/* The opposite of text_count, for options: "400k", "1.5M", "2g", "1e6"; a whole number
 * of at most 2^53. False when it is anything else. */
bool text_parse_count(const char *text, double *value);

/* Does the locale's character set hold more than ASCII? Decides how bars are drawn. */
bool text_utf8(void);

/* Columns a UTF-8 text takes on a terminal, one a character. */
size_t text_columns(const char *text);

/* Writes a bar of `width` columns for a share of 0..1; `out` needs 3 * width + 1 bytes. */
char *text_bar(char *out, int width, double share, bool utf8);

#endif
