#ifndef SEARCH_BASE_UTF8_H
#define SEARCH_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Text that came from elsewhere. Well-formed is what RFC 3629 and table 3-7 of Unicode say: no
 * overlong form, no surrogate, nothing above U+10FFFF. */

/* Bytes of the well-formed sequence at `p`, of which `left` >= 1 are there; 0 when it is none. */
size_t utf8_length(const unsigned char *p, size_t left);

bool utf8_is_valid(const char *text, size_t len);

/* In place, for people and for PostgreSQL, which stores no other: '?' for every byte that is in no
 * well-formed sequence (as where somebody cut a text), a space for every control character of ASCII. */
void utf8_mend(char *text);

#endif
