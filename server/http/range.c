#include "server/http/range.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool read_digits(const char **p, int64_t *out)
{
    size_t n = strspn(*p, "0123456789");
    if (n == 0 || n > 18) return false;
    *out = strtoll(*p, NULL, 10);
    *p += n;
    return true;
}

enum range_kind range_parse(const char *text, int64_t size, struct range *out)
{
    if (!text || strncmp(text, "bytes=", 6) || strchr(text, ',')) return RANGE_NONE;
    text += 6;
    bool has_first = read_digits(&text, &out->first);
    if (*text++ != '-') return RANGE_NONE;
    bool has_last = read_digits(&text, &out->last);
    if (*text || (!has_first && !has_last)) return RANGE_NONE;
    if (!has_first) { /* the last n bytes */
        if (out->last == 0) return RANGE_BEYOND;
        out->first = out->last < size ? size - out->last : 0;
        out->last = size - 1;
    } else if (!has_last || out->last >= size)
        out->last = size - 1;
    if (has_first && has_last && out->last < out->first && out->first < size) return RANGE_NONE;
    return out->first < size ? RANGE_GOOD : RANGE_BEYOND;
}
