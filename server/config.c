#include "server/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind { TEXT, NUMBER, BYTES, SWITCH, ROLE };

/* Every setting: the flag is its name; LATHE_ and the name in capitals its variable. */
static const struct setting {
    const char *name, *value; /* what --help shows for the value */
    enum kind kind;
    size_t offset;
    int64_t min, max;
    bool secret;
    const char *help;
} settings[] = {
#define AT(member) offsetof(struct config, member)
    { "data-dir", "DIR", TEXT, AT(data_dir), 0, 0, false,
      "where everything is kept (~/.local/share/lathe)" },
    { "files-dir", "DIR", TEXT, AT(files_dir), 0, 0, false,
      "uploads and the folders of jobs (the data directory); machines that share a database "
      "share it" },
    { "database-url", "URL", TEXT, AT(database_url), 0, 0, true,
      "a PostgreSQL of yours; without it a private one is kept under the data directory" },
    { "listen", "ADDR:PORT", TEXT, AT(listen), 0, 0, false,
      "numeric address and port (127.0.0.1:7878; port 0: any)" },
    { "acknowledge-insecure", "", SWITCH, AT(insecure), 0, 0, false,
      "allow --listen beyond loopback: there is no TLS, put a proxy in front" },
    { "hosts", "NAMES", TEXT, AT(hosts), 0, 0, false,
      "further names of this service for the Host check, by commas" },
    { "role", "ROLES", ROLE, 0, 0, 0, false, "api, runner or api,runner (both)" },
    { "slots", "N", NUMBER, AT(slots), 1, 64, false, "jobs this runner trains at a time (1)" },
    { "threads", "N", NUMBER, AT(threads), 0, 1024, false,
      "threads of each trainer (0: cores / slots)" },
    { "trainer", "FILE", TEXT, AT(trainer), 0, 0, false, "lathe-train (beside lathed)" },
    { "launch", "COMMAND", TEXT, AT(launch), 0, 0, false,
      "how a job is started, such as 'mpirun -np {ranks} {trainer}' or "
      "'srun --mpi=pmix -K -n {ranks} {trainer}' ({trainer})" },
    { "ranks", "N", NUMBER, AT(ranks), 1, 65536, false, "{ranks} of --launch (1)" },
    { "backends", "NAMES", TEXT, AT(backends), 0, 0, false,
      "what jobs may ask of this runner, by commas (what the trainer has)" },
    { "gpus", "N", NUMBER, AT(gpus), 0, 1024, false, "for jobs here (what the trainer sees)" },
    { "memory", "BYTES", BYTES, AT(memory), 0, (int64_t)1 << 50, false,
      "for jobs here, shared by the slots (0: all the machine has)" },
    { "web-dir", "DIR", TEXT, AT(web_dir), 0, 0, false,
      "the dashboard's files (../share/lathe/web)" },
    { "pg-bin", "DIR", TEXT, AT(pg_bin), 0, 0, false,
      "folder of PostgreSQL's server programs (found by itself)" },
    { "pg-user", "NAME", TEXT, AT(pg_user), 0, 0, false,
      "who runs the private PostgreSQL when we are root (postgres)" },
    { "pool-size", "N", NUMBER, AT(pool_size), 1, 32, false,
      "connections for short statements (4)" },
    { "max-body", "BYTES", BYTES, AT(max_body), 1024, 64 << 20, false, "of a JSON body (1048576)" },
    { "max-upload", "BYTES", BYTES, AT(max_upload), 1024, (int64_t)1 << 46, false,
      "of one upload (68719476736)" },
    { "rate", "N", NUMBER, AT(rate), 0, 1000000, false,
      "requests a second of one token, but for the data directory's (1000; 0: any)" },
    { "keep-events", "DAYS", NUMBER, AT(keep_events), 0, 36500, false,
      "how long events can be read again (90; 0: for good)" },
    { "keep-metrics", "DAYS", NUMBER, AT(keep_metrics), 0, 36500, false,
      "how long curves stay after a job's end (0: for good)" },
    { "drain", "SECONDS", NUMBER, AT(drain_s), 0, 3600, false,
      "how long a graceful stop may take (20)" },
    { "log-level", "LEVEL", TEXT, AT(log_level), 0, 0, false, "debug, info, warn or error (info)" },
    { "config", "FILE", TEXT, AT(config_file), 0, 0, false,
      "more settings, one `name = value` a line" },
#undef AT
};
enum { N_SETTINGS = sizeof settings / sizeof *settings };

/* ---- one value ------------------------------------------------------------------------------ */

static void *member(struct config *config, const struct setting *s)
{
    return (char *)config + s->offset;
}

static void set_text(char **out, const char *text)
{
    free(*out);
    *out = text && *text ? strdup(text) : NULL;
}

static enum status set_role(struct config *config, const char *text, struct error *err)
{
    config->role_api =
        !strcmp(text, "api") || !strcmp(text, "api,runner") || !strcmp(text, "runner,api");
    config->role_runner = strstr(text, "runner") && (config->role_api || !strcmp(text, "runner"));
    if (config->role_api || config->role_runner) return OK;
    return fail(err, E_INPUT, "role is \"%.60s\", not api, runner or api,runner", text);
}

static enum status set_number(struct config *config, const struct setting *s, const char *text,
                              struct error *err)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < s->min || value > s->max)
        return fail(err, E_INPUT, "%s is \"%.60s\", not a whole number from %lld to %lld", s->name,
                    text, (long long)s->min, (long long)s->max);
    if (s->kind == BYTES)
        *(int64_t *)member(config, s) = value;
    else
        *(int *)member(config, s) = (int)value;
    return OK;
}

static enum status set_switch(struct config *config, const struct setting *s, const char *text,
                              struct error *err)
{
    bool on = !*text || !strcmp(text, "true") || !strcmp(text, "1") || !strcmp(text, "yes");
    bool off = !strcmp(text, "false") || !strcmp(text, "0") || !strcmp(text, "no");
    if (!on && !off) return fail(err, E_INPUT, "%s is \"%.60s\", not true or false", s->name, text);
    *(bool *)member(config, s) = on;
    return OK;
}

static enum status set(struct config *config, const struct setting *s, const char *text,
                       struct error *err)
{
    switch (s->kind) {
    case TEXT: set_text(member(config, s), text); return OK;
    case ROLE: return set_role(config, text, err);
    case SWITCH: return set_switch(config, s, text, err);
    case NUMBER:
    case BYTES: return set_number(config, s, text, err);
    }
    return OK;
}

static const struct setting *find(const char *name, size_t len)
{
    for (int i = 0; i < N_SETTINGS; i++)
        if (strlen(settings[i].name) == len && !memcmp(settings[i].name, name, len))
            return &settings[i];
    return NULL;
}

/* ---- the three sources --------------------------------------------------------------------- */

static enum status read_line(struct config *config, char *line, struct error *err)
{
    line[strcspn(line, "\r\n")] = 0;
    line += strspn(line, " \t");
    if (!*line || *line == '#') return OK;
    size_t n = strcspn(line, " \t=");
    const struct setting *s = find(line, n);
    char *value = strchr(line, '=');
    if (!s || !strcmp(s->name, "config"))
        return fail(err, E_INPUT, "there is no setting \"%.*s\"", (int)n, line);
    if (!value) return fail(err, E_INPUT, "%s has no \"= value\"", s->name);
    value += 1 + strspn(value + 1, " \t");
    for (size_t len = strlen(value); len && strchr(" \t", value[len - 1]); len--)
        value[len - 1] = 0;
    return set(config, s, value, err);
}

static enum status read_file(struct config *config, const char *path, struct error *err)
{
    char line[1024];
    enum status status = OK;
    FILE *f = fopen(path, "r");
    if (!f) return fail(err, E_INPUT, "cannot read %s: %s", path, strerror(errno));
    for (int n = 1; !status && fgets(line, sizeof line, f); n++)
        if ((status = read_line(config, line, err))) fail_in(err, "%s, line %d", path, n);
    fclose(f);
    return status;
}

static void variable_of(const struct setting *s, char out[64])
{
    size_t n = (size_t)snprintf(out, 64, "LATHE_%s", s->name);
    for (size_t i = 0; i < n; i++)
        out[i] = out[i] == '-'                    ? '_'
                 : out[i] >= 'a' && out[i] <= 'z' ? (char)(out[i] - 32)
                                                  : out[i];
}

static enum status read_environment(struct config *config, struct error *err)
{
    char name[64];
    for (int i = 0; i < N_SETTINGS; i++) {
        variable_of(&settings[i], name);
        const char *value = getenv(name);
        if (value && set(config, &settings[i], value, err)) return fail_in(err, "%s", name);
    }
    return OK;
}

/* --name value, --name=value; a switch stands alone. */
static enum status read_flag(struct config *config, char **argv, int *i, struct error *err)
{
    const char *flag = argv[*i];
    if (strncmp(flag, "--", 2))
        return fail(err, E_INPUT, "what is \"%.60s\"? see lathed --help", flag);
    size_t n = strcspn(flag += 2, "=");
    const struct setting *s = find(flag, n);
    if (!s)
        return fail(err, E_INPUT, "there is no flag --%.*s, see lathed --help",
                    (int)(n < 60 ? n : 60), flag);
    if (flag[n] == '=') return set(config, s, flag + n + 1, err);
    if (s->kind == SWITCH) return set(config, s, "", err);
    if (!argv[*i + 1]) return fail(err, E_INPUT, "--%s needs a value", s->name);
    return set(config, s, argv[++*i], err);
}

static enum status read_flags(struct config *config, char **argv, bool *done, struct error *err)
{
    for (int i = 1; argv[i]; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            config_help(stdout);
            *done = true;
        } else if (!strcmp(argv[i], "--version")) {
            printf("lathed %s\n", LATHE_VERSION);
            *done = true;
        } else
            TRY(read_flag(config, argv, &i, err));
    }
    return OK;
}

/* The file is named by a flag or a variable but ranks below both: look for its name first. */
static const char *file_named(char **argv)
{
    const char *path = getenv("LATHE_CONFIG");
    for (int i = 1; argv[i]; i++) {
        if (!strncmp(argv[i], "--config=", 9))
            path = argv[i] + 9;
        else if (!strcmp(argv[i], "--config") && argv[i + 1])
            path = argv[i + 1];
    }
    return path;
}

/* ---- making sense of it -------------------------------------------------------------------- */

static bool is_numeric(const char *address)
{
    struct in6_addr ignored;
    return inet_pton(AF_INET, address, &ignored) == 1 ||
           inet_pton(AF_INET6, address, &ignored) == 1;
}

static bool is_loopback(const char *address)
{
    return !strncmp(address, "127.", 4) || !strcmp(address, "::1");
}

static enum status split_listen(struct config *config, struct error *err)
{
    const char *text = config->listen, *colon = strrchr(text, ':');
    char *end = NULL;
    long port = colon ? strtol(colon + 1, &end, 10) : -1;
    if (!colon || end == colon + 1 || *end || port < 0 || port > 65535)
        return fail(err, E_INPUT, "listen is \"%.60s\", not ADDR:PORT", text);
    bool bracketed = *text == '[' && colon > text && colon[-1] == ']';
    config->port = (int)port;
    config->address = strndup(text + bracketed, (size_t)(colon - text) - (bracketed ? 2 : 0));
    if (!is_numeric(config->address))
        return fail(err, E_INPUT, "\"%.60s\" is not a numeric address to listen on",
                    config->address);
    if (is_loopback(config->address) || config->insecure) return OK;
    return fail(
        err, E_INPUT,
        "listening on %s lets other machines in, and there is no TLS: put a proxy with TLS in "
        "front and say --acknowledge-insecure, or listen on 127.0.0.1",
        config->address);
}

static void make_absolute(char **path)
{
    char here[PATH_MAX], whole[2 * PATH_MAX];
    if (!*path || **path == '/' || !getcwd(here, sizeof here)) return;
    snprintf(whole, sizeof whole, "%s/%s", here, *path);
    set_text(path, whole);
}

static enum status default_data_dir(struct config *config, struct error *err)
{
    char path[PATH_MAX];
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (config->data_dir) return OK;
    if (data && *data == '/')
        snprintf(path, sizeof path, "%s/lathe", data);
    else if (home && *home == '/')
        snprintf(path, sizeof path, "%s/.local/share/lathe", home);
    else
        return fail(err, E_INPUT, "there is no HOME: say --data-dir");
    set_text(&config->data_dir, path);
    return OK;
}

/* The folder of our own program, or ".". */
static void own_folder(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = 0;
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = 0;
    else
        strcpy(out, ".");
}

/* lathe-train lies where we lie, the dashboard beside that folder. */
static void default_neighbours(struct config *config)
{
    char self[PATH_MAX], path[PATH_MAX + 32];
    own_folder(self);
    snprintf(path, sizeof path, "%s/lathe-train", self);
    if (!config->trainer) set_text(&config->trainer, path);
    snprintf(path, sizeof path, "%s/../share/lathe/web", self);
    if (!config->web_dir) set_text(&config->web_dir, path);
}

static enum status complete(struct config *config, struct error *err)
{
    TRY(default_data_dir(config, err));
    default_neighbours(config);
    make_absolute(&config->data_dir);
    if (!config->files_dir) set_text(&config->files_dir, config->data_dir);
    make_absolute(&config->files_dir);
    make_absolute(&config->trainer);
    make_absolute(&config->web_dir);
    make_absolute(&config->pg_bin);
    if (!config->listen) set_text(&config->listen, "127.0.0.1:7878");
    if (!config->log_level) set_text(&config->log_level, "info");
    return split_listen(config, err);
}

enum status config_read(struct config *config, int argc, char **argv, bool *done, struct error *err)
{
    (void)argc;
    *done = false;
    *config = (struct config){ .role_api = true,
                               .role_runner = true,
                               .slots = 1,
                               .pool_size = 4,
                               .max_body = 1 << 20,
                               .max_upload = (int64_t)64 << 30,
                               .drain_s = 20,
                               .ranks = 1,
                               .gpus = -1,
                               .keep_events = 90,
                               .rate = 1000 };
    const char *file = file_named(argv);
    if (file && *file) TRY(read_file(config, file, err));
    TRY(read_environment(config, err));
    TRY(read_flags(config, argv, done, err));
    return *done ? OK : complete(config, err);
}

/* ---- showing it ---------------------------------------------------------------------------- */

void config_help(FILE *out)
{
    fprintf(out, "lathed: the Lathe service, an HTTP API for architecture search\n\n"
                 "usage: lathed [--flag value ...]\n\n");
    for (int i = 0; i < N_SETTINGS; i++)
        fprintf(out, "  --%s %s\n        %s\n", settings[i].name, settings[i].value,
                settings[i].help);
    fprintf(
        out,
        "\nEach is also a variable (--data-dir: LATHE_DATA_DIR) and a line of the --config file\n"
        "(data-dir = ...); flags win over variables, variables over the file.\n");
}

static void print_one(const struct config *config, const struct setting *s, FILE *out)
{
    const char *at = (const char *)config + s->offset;
    const char *text = s->kind == TEXT ? *(char *const *)(const void *)at : NULL;
    fprintf(out, "%s = ", s->name);
    switch (s->kind) {
    case TEXT: fprintf(out, "%s\n", !text ? "" : s->secret ? "(set, not shown)" : text); break;
    case NUMBER: fprintf(out, "%d\n", *(const int *)(const void *)at); break;
    case BYTES: fprintf(out, "%lld\n", (long long)*(const int64_t *)(const void *)at); break;
    case SWITCH: fprintf(out, "%s\n", *(const bool *)at ? "true" : "false"); break;
    case ROLE:
        fprintf(out, "%s%s%s\n", config->role_api ? "api" : "",
                config->role_api && config->role_runner ? "," : "",
                config->role_runner ? "runner" : "");
        break;
    }
}

void config_print(const struct config *config, FILE *out)
{
    for (int i = 0; i < N_SETTINGS; i++) print_one(config, &settings[i], out);
}

void config_release(struct config *config)
{
    for (int i = 0; i < N_SETTINGS; i++)
        if (settings[i].kind == TEXT) set_text(member(config, &settings[i]), NULL);
    free(config->address);
    config->address = NULL;
}
