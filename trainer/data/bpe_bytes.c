#include "trainer/data/bpe_bytes.h"

#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

static bool stands_for_itself(int c)
{
    return (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

/* The other 68: 0x00..0x20, 0x7f..0xa0 and 0xad. */
int bpe_byte_symbol(unsigned char byte)
{
    if (stands_for_itself(byte)) return byte;
    return byte <= 0x20 ? 0x100 + byte : byte <= 0xa0 ? 0x121 + byte - 0x7f : 0x143;
}

/* The byte of a stand-in, or -1. */
static int byte_of(int rune)
{
    if (rune < 0x100) return stands_for_itself(rune) ? rune : -1;
    return rune <= 0x120   ? rune - 0x100
           : rune <= 0x142 ? rune - 0x121 + 0x7f
           : rune == 0x143 ? 0xad
                           : -1;
}

void bpe_put_rune(struct buf *out, int rune)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t n = utf8proc_encode_char(rune, bytes);
    buf_put(out, bytes, (size_t)n);
}

void bpe_bytes_to_text(struct buf *out, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) bpe_put_rune(out, bpe_byte_symbol((unsigned char)bytes[i]));
}

size_t bpe_rune(const char *text, size_t left, int *rune)
{
    utf8proc_int32_t r;
    const void *bytes = text;
    utf8proc_ssize_t n = utf8proc_iterate(bytes, left > 4 ? 4 : (utf8proc_ssize_t)left, &r);
    *rune = r;
    return n > 0 ? (size_t)n : 0;
}

bool bpe_text_to_bytes(struct buf *out, const char *text, size_t len)
{
    size_t before = out->len, n;
    for (size_t i = 0; i < len; i += n) {
        int rune, byte = -1;
        n = bpe_rune(text + i, len - i, &rune);
        if (n) byte = byte_of(rune);
        if (byte < 0) {
            out->len = before;
            if (out->bytes) out->bytes[before] = '\0';
            return false;
        }
        buf_putc(out, (char)byte);
    }
    return true;
}

static bool eight_are_ascii(const char *text)
{
    uint64_t word;
    memcpy(&word, text, 8);
    return !(word & 0x8080808080808080u);
}

size_t bpe_utf8_prefix(const char *text, size_t len)
{
    size_t i = 0, n;
    int rune;
    while (i < len) {
        while (i + 8 <= len && eight_are_ascii(text + i)) i += 8;
        if (i == len) break;
        n = bpe_rune(text + i, len - i, &rune);
        if (!n) break;
        i += n;
    }
    return i;
}
