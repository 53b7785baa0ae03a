#include "server/http/gzip.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum { LEVEL = 1, WINDOW_GZIP = 15 + 16, MEMORY = 8 };

/* Is the weight in "gzip;q=0.5" (from the ';' on) above zero? */
static bool is_wanted(const char *p)
{
    p += strspn(p, " \t");
    if (*p != ';') return true;
    p += 1 + strspn(p + 1, " \t");
    return strncasecmp(p, "q=", 2) || strtod(p + 2, NULL) > 0;
}

bool gzip_is_taken(const char *accept)
{
    for (const char *p = accept; p && *p; p += strcspn(p, ","), p += *p == ',') {
        p += strspn(p, " \t");
        size_t n = strcspn(p, " \t;,");
        if (n == 4 && !strncasecmp(p, "gzip", 4)) return is_wanted(p + n);
    }
    return false;
}

char *gzip_pack(const char *bytes, size_t len, size_t *packed)
{
    z_stream z = { 0 };
    if (len > 1u << 30 ||
        deflateInit2(&z, LEVEL, Z_DEFLATED, WINDOW_GZIP, MEMORY, Z_DEFAULT_STRATEGY))
        return NULL;
    char *out = malloc(len);
    if (!out) abort();
    union { /* zlib's next_in is not const everywhere */
        const char *from;
        Bytef *to;
    } in = { .from = bytes };
    z.next_in = in.to;
    z.avail_in = (uInt)len;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)len;
    int end = deflate(&z, Z_FINISH);
    *packed = z.total_out;
    deflateEnd(&z);
    if (end == Z_STREAM_END) return out;
    free(out);
    return NULL;
}
