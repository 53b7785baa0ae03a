#include "search/base/utf8.h"

#include <string.h>

size_t utf8_length(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4) return 0;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (n > left) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0; /* overlong */
    if (p[0] == 0xed && p[1] > 0x9f) return 0; /* surrogate */
    if (p[0] == 0xf0 && p[1] < 0x90) return 0;
    if (p[0] == 0xf4 && p[1] > 0x8f) return 0;
    return n;
}

bool utf8_is_valid(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0, n; i < len; i += n)
        if (!(n = utf8_length(p + i, len - i))) return false;
    return true;
}

void utf8_mend(char *text)
{
    for (size_t n, left = strlen(text); left; text += n, left -= n) {
        unsigned char *p = (unsigned char *)text;
        n = utf8_length(p, left);
        if (!n) *p = '?', n = 1;
        if (*p < 0x20 || *p == 0x7f) *p = ' ';
    }
}
