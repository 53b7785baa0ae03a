#include "clients/cli/text.h"

#include <langinfo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *text_number(char *out, double value, int digits)
{
    if (isnan(value))
        snprintf(out, TEXT_MAX, "-");
    else
        snprintf(out, TEXT_MAX, fabs(value) < 1e15 ? "%.*f" : "%.*e", digits, value);
    return out;
}

/* Three significant digits and a unit: the largest whose value is at least 1 after rounding. */
static char *scaled(char *out, double value, double base, const char *const *units, int n_units)
{
    int unit = 0;
    while (unit < n_units - 1 && fabs(value) >= base * 0.9995) value /= base, unit++;
    int digits = unit == 0 || fabs(value) >= 99.95 ? 0 : fabs(value) >= 9.995 ? 1 : 2;
    snprintf(out, TEXT_MAX, "%.*f%s", digits, value, units[unit]);
    return out;
}

char *text_count(char *out, double value)
{
    static const char *const units[] = { "", "k", "M", "G", "T", "P" };
    if (isnan(value)) return text_number(out, value, 0);
    return scaled(out, value, 1000, units, 6);
}

char *text_bytes(char *out, double value)
{
    static const char *const units[] = { " B", " KiB", " MiB", " GiB", " TiB" };
    if (isnan(value)) return text_number(out, value, 0);
    return scaled(out, value, 1024, units, 5);
}

char *text_percent(char *out, double share)
{
    if (isnan(share)) return text_number(out, share, 0);
    snprintf(out, TEXT_MAX, "%.1f%%", share * 100);
    return out;
}

char *text_duration(char *out, double seconds)
{
    if (isnan(seconds) || seconds < 0 || seconds > 1e9) return text_number(out, NAN, 0);
    if (seconds < 9.95) {
        snprintf(out, TEXT_MAX, "%.1fs", seconds);
        return out;
    }
    long s = lround(seconds);
    if (s < 60)
        snprintf(out, TEXT_MAX, "%lds", s);
    else if (s < 3600)
        snprintf(out, TEXT_MAX, "%ldm%02lds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, TEXT_MAX, "%ldh%02ldm", s / 3600, s / 60 % 60);
    else
        snprintf(out, TEXT_MAX, "%ldd%02ldh", s / 86400, s / 3600 % 24);
    return out;
}

static double unit_of(char letter)
{
    switch (letter) {
    case '\0': return 1;
    case 'k':
    case 'K': return 1e3;
    case 'm':
    case 'M': return 1e6;
    case 'g':
    case 'G': return 1e9;
    default: return 0;
    }
}

bool text_parse_count(const char *text, double *value)
{
    char *end;
    if (*text < '0' || *text > '9' || text[1] == 'x' || text[1] == 'X') return false;
    double number = strtod(text, &end), unit = unit_of(*end);
    if (end == text || !unit || (*end && end[1])) return false;
    number = round(number * unit * 1e6) / 1e6;
    if (!(number >= 0 && number <= 9007199254740992.0) || number != floor(number)) return false;
    *value = number;
    return true;
}

bool text_utf8(void) { return !strcmp(nl_langinfo(CODESET), "UTF-8"); }

size_t text_columns(const char *text)
{
    size_t n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

/* Full blocks, then one block of eighths, then blanks. */
static char *utf8_bar(char *out, int width, double share)
{
    static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
    int n = (int)lround(share * width * 8), column = 0;
    char *to = out;
    for (; column < n / 8; column++) to = stpcpy(to, "█");
    if (n % 8 && column < width) to = stpcpy(to, eighths[n % 8]), column++;
    for (; column < width; column++) to = stpcpy(to, "░");
    return out;
}

char *text_bar(char *out, int width, double share, bool utf8)
{
    share = isnan(share) || share < 0 ? 0 : share > 1 ? 1 : share;
    *out = '\0';
    if (utf8) return utf8_bar(out, width, share);
    int full = (int)lround(share * width);
    memset(out, '#', (size_t)full);
    memset(out + full, '.', (size_t)(width - full));
    out[width] = '\0';
    return out;
}
