#include "trainer/evaluate/journal.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "search/base/emit.h"
#include "search/base/field.h"

enum { MAX_LINE = 256 << 20, MAX_JOURNAL = 1 << 30 };

struct journal {
    int fd;
    char path[PATH_ROOM];
    json_t **record; /* what was there */
    int n, capacity;
};

static void keep(struct journal *j, json_t *record)
{
    if (j->n == j->capacity) {
        j->capacity = j->capacity ? 2 * j->capacity : 64;
        j->record = realloc(j->record, (size_t)j->capacity * sizeof *j->record);
        if (!j->record) abort();
    }
    j->record[j->n++] = record;
}

/* Reads the whole lines; returns the bytes that are good, 0 when it is about something else. */
static size_t read_all(struct journal *j, const char *text, size_t len, const char *fingerprint)
{
    size_t at = 0;
    const char *end;
    while (at < len && (end = memchr(text + at, '\n', len - at)) != NULL) {
        struct error bad = { 0 };
        json_t *line = field_parse(text + at, (size_t)(end - text) - at, &bad);
        const char *said = json_string_value(json_object_get(line, "fingerprint"));
        if (!line) break;
        if (at == 0 && (!said || strcmp(said, fingerprint) != 0)) {
            json_decref(line);
            return 0;
        }
        if (at == 0)
            json_decref(line);
        else
            keep(j, line);
        at = (size_t)(end - text) + 1;
    }
    return at;
}

static enum status put(struct journal *j, const struct buf *line, struct error *err)
{
    for (size_t at = 0; at < line->len;) {
        ssize_t n = write(j->fd, line->bytes + at, line->len - at);
        if (n < 0) return fail_path(err, "write", j->path);
        at += (size_t)n;
    }
    return fdatasync(j->fd) ? fail_path(err, "write", j->path) : OK;
}

static enum status put_head(struct journal *j, const char *fingerprint, struct error *err)
{
    struct buf line;
    struct emit e;
    buf_init(&line, 4096);
    emit_init(&e, &line);
    emit_begin(&e, '{');
    emit_kv_string(&e, "schema", "lathe.evaluate/1");
    emit_kv_string(&e, "fingerprint", fingerprint);
    emit_end(&e);
    buf_putc(&line, '\n');
    put(j, &line, err);
    buf_release(&line);
    return err->status;
}

static enum status start(struct journal *j, const char *fingerprint, struct error *err)
{
    char *text = NULL;
    size_t len = 0, good = 0;
    struct error none = { 0 };
    if (!file_read(&text, &len, j->path, MAX_JOURNAL, &none))
        good = read_all(j, text, len, fingerprint);
    free(text);
    j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (j->fd < 0) return fail_path(err, "open", j->path);
    if (ftruncate(j->fd, (off_t)good) || lseek(j->fd, 0, SEEK_END) < 0)
        return fail_path(err, "write", j->path);
    return good ? OK : put_head(j, fingerprint, err);
}

enum status journal_open(struct journal **out, const char *dir, const char fingerprint[HASH_HEX],
                         struct error *err)
{
    struct journal *j = calloc(1, sizeof *j);
    if (!j) abort();
    *out = NULL;
    j->fd = -1;
    if (path_join(j->path, dir, "evaluate.journal", err) || start(j, fingerprint, err))
        journal_close(j);
    else
        *out = j;
    return err->status;
}

void journal_close(struct journal *j)
{
    if (!j) return;
    for (int i = 0; i < j->n; i++) json_decref(j->record[i]);
    free(j->record);
    if (j->fd >= 0) close(j->fd);
    free(j);
}

/* Null stands for a number that is none. */
static double number(const json_t *json)
{
    return json_is_number(json) ? json_number_value(json) : NAN;
}

int journal_known(const struct journal *j, int task, int n, struct eval_score *score)
{
    int known = 0;
    for (int i = 0; i < j->n; i++) {
        const json_t *r = j->record[i], *sums = json_object_get(r, "log_likelihood");
        const json_t *greedy = json_object_get(r, "greedy");
        size_t count = json_array_size(sums);
        if (json_integer_value(json_object_get(r, "task")) != task ||
            json_integer_value(json_object_get(r, "from")) != known || count > (size_t)(n - known))
            continue;
        for (size_t k = 0; k < count; k++)
            score[known++] = (struct eval_score){ number(json_array_get(sums, k)),
                                                  json_is_true(json_array_get(greedy, k)) };
    }
    return known;
}

enum status journal_add(struct journal *j, int task, int from, int n,
                        const struct eval_score *score, struct error *err)
{
    struct buf line;
    struct emit e;
    buf_init(&line, MAX_LINE);
    emit_init(&e, &line);
    emit_begin(&e, '{');
    emit_kv_int(&e, "task", task);
    emit_kv_int(&e, "from", from);
    emit_key(&e, "log_likelihood");
    emit_begin(&e, '[');
    for (int i = 0; i < n; i++) emit_double(&e, score[i].log_likelihood);
    emit_end(&e);
    emit_key(&e, "greedy");
    emit_begin(&e, '[');
    for (int i = 0; i < n; i++) emit_bool(&e, score[i].greedy);
    emit_end(&e);
    emit_end(&e);
    buf_putc(&line, '\n');
    if (line.failed)
        fail(err, E_LIMIT, "a batch's answers do not fit into the journal");
    else
        put(j, &line, err);
    buf_release(&line);
    return err->status;
}
