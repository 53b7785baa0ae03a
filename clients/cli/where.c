#include "clients/cli/where.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *nonempty(const char *text) { return text && *text ? text : NULL; }

static enum status copy(char out[WHERE_MAX], const char *text, const char *what, struct error *err)
{
    if (snprintf(out, WHERE_MAX, "%s", text) >= WHERE_MAX)
        return fail(err, E_INPUT, "%s is longer than %d bytes", what, WHERE_MAX - 1);
    for (const char *c = out; *c; c++)
        if ((unsigned char)*c < 0x20)
            return fail(err, E_INPUT, "%s holds control characters", what);
    return OK;
}

static enum status find_data_dir(struct where *where, const char *given, struct error *err)
{
    const char *home = nonempty(getenv("HOME"));
    if (!given) given = nonempty(getenv("LATHE_DATA_DIR"));
    if (given) return copy(where->data_dir, given, "the data directory", err);
    if (snprintf(where->data_dir, WHERE_MAX, "%s/.local/share/lathe", home ? home : "") >=
        WHERE_MAX)
        return fail(err, E_INPUT, "HOME is longer than %d bytes", WHERE_MAX);
    return OK;
}

/* The first line of a small file; false when it cannot be read. */
static bool read_line(const char *dir, const char *name, char out[WHERE_MAX])
{
    char path[WHERE_MAX + 16];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "re");
    bool found = file && fgets(out, WHERE_MAX, file);
    if (file) fclose(file);
    if (found) out[strcspn(out, "\r\n")] = '\0';
    return found && *out;
}

static void strip_slashes(char *server)
{
    for (size_t n = strlen(server); n && server[n - 1] == '/'; n--) server[n - 1] = '\0';
}

static bool is_loopback(const char *server)
{
    static const char *const hosts[] = { "127.0.0.1", "localhost", "[::1]" };
    const char *host = strstr(server, "://");
    for (size_t i = 0; host && i < sizeof hosts / sizeof *hosts; i++) {
        size_t n = strlen(hosts[i]);
        if (!strncmp(host + 3, hosts[i], n) && strchr(":/", host[3 + n])) return true;
    }
    return false;
}

static enum status check_server(const char *server, struct error *err)
{
    if (!strncmp(server, "http://", 7) || !strncmp(server, "https://", 8)) return OK;
    return fail(err, E_INPUT, "the server is '%.200s'; it must start with http:// or https://",
                server);
}

enum status where_find(struct where *where, const char *server, const char *token,
                       const char *data_dir, struct error *err)
{
    char address[WHERE_MAX] = "", file_token[WHERE_MAX] = "";
    memset(where, 0, sizeof *where);
    TRY(find_data_dir(where, data_dir, err));
    read_line(where->data_dir, "address", address);
    strip_slashes(address);
    if (!server) server = nonempty(getenv("LATHE_SERVER"));
    if (!server) server = *address ? address : "http://127.0.0.1:7878";
    TRY(copy(where->server, server, "the server's address", err));
    TRY(check_server(where->server, err));
    strip_slashes(where->server);
    if (!token) token = nonempty(getenv("LATHE_TOKEN"));
    bool ours = !strcmp(where->server, address) || is_loopback(where->server);
    if (!token && ours && read_line(where->data_dir, "token", file_token)) token = file_token;
    return token ? copy(where->token, token, "the token", err) : OK;
}
