#include "server/http/guard.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <string.h>
#include <strings.h>

struct seen {
    int host, length, encoding;
    const char *wrong;
};

static bool is_token(const char *text, size_t len)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z', digit = c >= '0' && c <= '9';
        if (!letter && !digit && (!c || !strchr(marks, c))) return false;
    }
    return len > 0;
}

static bool has_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f) return true;
    return false;
}

static bool is_number(const char *text, size_t len)
{
    return len > 0 && len < 19 && strspn(text, "0123456789") == len;
}

/* A folded line: libmicrohttpd appends what it holds to the name of the header before, so that one
 * of the names that say where a request ends goes unnoticed. */
static bool is_folded(const char *name)
{
    static const char *const names[] = { "transfer-encoding", "content-length", "host" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (!strncasecmp(name, names[i], n) && name[n]) return true;
    }
    return false;
}

static enum MHD_Result look(void *data, enum MHD_ValueKind kind, const char *name, size_t n_name,
                            const char *value, size_t n_value)
{
    struct seen *seen = data;
    (void)kind;
    if (!is_token(name, n_name)) seen->wrong = "a header's name has a forbidden character";
    if (is_folded(name)) seen->wrong = "a header is folded";
    if (has_control(value, n_value)) seen->wrong = "a header's value has a control character";
    if (!strcasecmp(name, "host")) seen->host++;
    if (!strcasecmp(name, "content-length")) {
        seen->length++;
        if (!is_number(value, n_value)) seen->wrong = "Content-Length is not a number";
    }
    if (!strcasecmp(name, "transfer-encoding")) {
        seen->encoding++;
        if (strcasecmp(value, "chunked")) seen->wrong = "Transfer-Encoding is not \"chunked\"";
    }
    return MHD_YES;
}

enum status guard_headers(struct MHD_Connection *connection, const char *version, struct error *err)
{
    struct seen seen = { 0 };
    bool new = !strcmp(version, "HTTP/1.1");
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, look, &seen);
    if (!new &&strcmp(version, "HTTP/1.0")) seen.wrong = "the version is not HTTP/1.1 or HTTP/1.0";
    if (seen.host > 1 || (new && !seen.host)) seen.wrong = "there must be exactly one Host";
    if (seen.length > 1) seen.wrong = "there is more than one Content-Length";
    if (seen.encoding > 1) seen.wrong = "there is more than one Transfer-Encoding";
    if (seen.encoding && seen.length)
        seen.wrong = "both Content-Length and Transfer-Encoding are there";
    if (seen.encoding && !new) seen.wrong = "Transfer-Encoding needs HTTP/1.1";
    return seen.wrong ? fail(err, E_INPUT, "%s", seen.wrong) : OK;
}

/* ---- whose request is it? -------------------------------------------------------------- */

/* The name in "name:port" or "[v6]:port", without brackets; false when malformed. */
static bool split_host(const char *host, char name[256])
{
    size_t n;
    if (*host == '[') {
        n = strcspn(++host, "]");
        if (!host[n]) return false;
    } else
        n = strcspn(host, ":");
    if (n == 0 || n > 255) return false;
    memcpy(name, host, n);
    name[n] = 0;
    const char *rest = host + n + (host[n] == ']');
    return !*rest || (*rest == ':' && strlen(rest) <= 6 &&
                      strspn(rest + 1, "0123456789") == strlen(rest + 1));
}

static bool is_listed(const char *name, const char *hosts)
{
    for (const char *p = hosts; p && *p;) {
        size_t n = strcspn(p, ",");
        if (n == strlen(name) && !strncasecmp(p, name, n)) return true;
        p += n + (p[n] == ',');
    }
    return false;
}

bool guard_host(const char *host, const char *hosts)
{
    char name[256];
    struct in6_addr address;
    if (!host || !split_host(host, name)) return false;
    if (inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1)
        return true;
    return !strcasecmp(name, "localhost") || is_listed(name, hosts);
}

bool guard_origin(const char *origin, const char *host)
{
    if (!origin) return true;
    if (!strncasecmp(origin, "http://", 7))
        origin += 7;
    else if (!strncasecmp(origin, "https://", 8))
        origin += 8;
    else
        return false;
    return host && !strcasecmp(origin, host);
}
