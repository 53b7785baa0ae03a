#include "trainer/data/text_file.h"

#include <stdbool.h>
#include <string.h>

static bool begins(const void *bytes, size_t len, const char *with, size_t n)
{
    return len >= n && !memcmp(bytes, with, n);
}

static enum status check_packing(const void *bytes, size_t len, const char *path, struct error *err)
{
    static const struct {
        const char *magic, *how;
        size_t n;
    } packed[] = { { "\xfd\x37zXZ", "xz -dk", 6 },
                   { "\x1f\x8b", "gunzip -k", 2 },
                   { "\x28\xb5\x2f\xfd", "zstd -d", 4 },
                   { "BZh91AY&SY", "bunzip2 -k", 10 },
                   { "PK\3\4", "unzip", 4 } };
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++)
        if (begins(bytes, len, packed[i].magic, packed[i].n))
            return fail(err, E_INPUT, "%.200s is packed; unpack it first: %s FILE", path,
                        packed[i].how);
    return OK;
}

static enum status check_encoding(const void *bytes, size_t len, const char *path,
                                  struct error *err)
{
    bool little = begins(bytes, len, "\xff\xfe", 2), big = begins(bytes, len, "\xfe\xff", 2);
    if (little || big)
        return fail(err, E_INPUT,
                    "%.200s is in UTF-16; make it UTF-8 first: iconv -f UTF-16 -t UTF-8 FILE",
                    path);
    if (len && memchr(bytes, '\0', len < 1024 ? len : 1024))
        return fail(err, E_INPUT,
                    "%.200s has NUL bytes, as no text has; if it is in UTF-16, make it UTF-8 "
                    "first: iconv -f UTF-16LE -t UTF-8 FILE",
                    path);
    return OK;
}

enum status text_file_start(size_t *start, const void *bytes, size_t len, const char *path,
                            struct error *err)
{
    TRY(check_packing(bytes, len, path, err));
    TRY(check_encoding(bytes, len, path, err));
    *start = begins(bytes, len, "\xef\xbb\xbf", 3) ? 3 : 0;
    return OK;
}
