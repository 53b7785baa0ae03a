#include "trainer/data/bpe_scan.h"

#include <string.h>
#include <utf8proc.h>

#include "trainer/data/bpe_bytes.h"
#include "trainer/data/bpe_split.h"

enum kind { OTHER, LETTER, NUMBER, SPACE };

static enum kind kind_of_rune(int rune)
{
    switch (utf8proc_category(rune)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return SPACE;
    default: return rune == 0x85 ? SPACE : OTHER;
    }
}

static enum kind kind_of_ascii(unsigned char c)
{
    if ((c | 32) >= 'a' && (c | 32) <= 'z') return LETTER;
    if (c >= '0' && c <= '9') return NUMBER;
    return c == ' ' || (c >= '\t' && c <= '\r') ? SPACE : OTHER;
}

/* The kind of the character at `text`, and its length. */
static enum kind kind_at(const char *text, size_t left, size_t *n)
{
    int rune;
    *n = 1;
    if (!((unsigned char)*text & 0x80)) return kind_of_ascii((unsigned char)*text);
    *n = bpe_rune(text, left, &rune);
    if (*n) return kind_of_rune(rune);
    *n = 1;
    return OTHER;
}

bool bpe_is_numeric(const char *text, size_t left, size_t *n)
{
    return kind_at(text, left, n) == NUMBER;
}
bool bpe_is_space(const char *text, size_t left, size_t *n)
{
    return kind_at(text, left, n) == SPACE;
}

bool bpe_is_word(const char *text, size_t left, size_t *n)
{
    int rune = -1;
    enum kind kind = kind_at(text, left, n);
    bpe_rune(text, left, &rune);
    switch (rune < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(rune)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return kind == LETTER || rune == 0x200c || rune == 0x200d;
    }
}

/* From `at`, behind all characters of one class. */
static size_t run_of(enum kind kind, const char *text, size_t len, size_t at)
{
    for (size_t n; at < len && kind_at(text + at, len - at, &n) == kind;) at += n;
    return at;
}

/* The length of 's 't 'm 'd 're 've 'll at the start, or 0. With `fold` in any case, of which
 * U+017F (long s) is one of s. */
static size_t contraction(const char *text, size_t len, bool fold)
{
    if (len < 2 || *text != '\'') return 0;
    if (fold && len > 2 && !memcmp(text + 1, "\xc5\xbf", 2)) return 3;
    char a = text[1], b = len > 2 ? text[2] : '\0';
    if (fold && a >= 'A' && a <= 'Z') a = (char)(a | 32);
    if (fold && b >= 'A' && b <= 'Z') b = (char)(b | 32);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s+(?!\S)|\s+ : a run of spaces leaves its last one to what follows, unless it is alone. */
static size_t spaces(const char *text, size_t len)
{
    size_t end = 0, last = 0, n;
    while (end < len && kind_at(text + end, len - end, &n) == SPACE) last = end, end += n;
    return end < len && last ? last : end;
}

static size_t scan_gpt2(const char *text, size_t len)
{
    size_t n = contraction(text, len, false), start = *text == ' ' && len > 1;
    if (n) return n;
    enum kind kind = kind_at(text + start, len - start, &n);
    return kind == SPACE ? spaces(text, len) : run_of(kind, text, len, start + n);
}

/* \s*[\r\n]+ : up to the last line end of the run of spaces, or 0. */
static size_t line_ends(const char *text, size_t len)
{
    size_t found = 0, n;
    for (size_t at = 0; at < len && kind_at(text + at, len - at, &n) == SPACE; at += n)
        if (text[at] == '\r' || text[at] == '\n') found = at + 1;
    return found;
}

/* \p{N}{1,most} */
static size_t numbers(const char *text, size_t len, int most)
{
    size_t at = 0;
    for (size_t n; most-- && at < len && kind_at(text + at, len - at, &n) == NUMBER;) at += n;
    return at;
}

static size_t scan_qwen2(const char *text, size_t len, int most_digits)
{
    size_t n = contraction(text, len, true), m;
    if (n) return n;
    enum kind kind = kind_at(text, len, &n);
    if (kind == LETTER) return run_of(LETTER, text, len, n);
    if (kind == NUMBER) return numbers(text, len, most_digits);
    if (*text != '\r' && *text != '\n' && n < len && kind_at(text + n, len - n, &m) == LETTER)
        return run_of(LETTER, text, len, n + m);

    size_t start = *text == ' ' && len > 1, end;
    if (kind_at(text + start, len - start, &m) == OTHER) {
        end = run_of(OTHER, text, len, start);
        while (end < len && (text[end] == '\r' || text[end] == '\n')) end++;
        return end;
    }
    end = line_ends(text, len);
    return end ? end : spaces(text, len);
}

enum bpe_scanner bpe_scanner_of(const char *regex)
{
    if (!strcmp(regex, bpe_regex_gpt2)) return BPE_SCAN_GPT2;
    if (!strcmp(regex, bpe_regex_qwen2)) return BPE_SCAN_QWEN2;
    return strcmp(regex, bpe_regex_llama3) ? BPE_SCAN_NONE : BPE_SCAN_LLAMA3;
}

size_t bpe_scan(enum bpe_scanner scanner, const char *text, size_t len)
{
    if (scanner == BPE_SCAN_GPT2) return scan_gpt2(text, len);
    return scan_qwen2(text, len, scanner == BPE_SCAN_QWEN2 ? 1 : 3);
}
