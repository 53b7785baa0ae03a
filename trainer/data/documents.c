#include "trainer/data/documents.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/field.h"
#include "trainer/data/loose_json.h"
#include "trainer/data/text_file.h"
#include "trainer/data/tokenizer.h"

const char *const document_formats[] = { "text", "jsonl", "llmc", "nanogpt", "megatron", NULL };

struct documents {
    char path[PATH_ROOM];
    enum document_format format;
    struct file_map map; /* text and jsonl */
    size_t at, line;
    json_t *json; /* of the document given out last */
    struct shard shard;
    uint64_t n_ends, end; /* asked of the shard so far, and the last of them */
    int vocab_size;
    int32_t eod;
    struct ids ids;
};

static bool is_tokens(enum document_format format) { return format >= DOCUMENT_LLMC; }

enum status documents_open(struct documents **out, const char *path, enum document_format format,
                           int vocab_size, int32_t eod, struct error *err)
{
    struct documents *d = calloc(1, sizeof *d);
    if (!d) abort();
    d->format = format;
    d->vocab_size = vocab_size;
    d->eod = eod;
    *out = d;
    if (path_join(d->path, path, "", err)) goto failed;
    d->path[strlen(path)] = '\0';
    if (is_tokens(format)) {
        static const enum shard_format formats[] = { SHARD_LLMC, SHARD_NANOGPT, SHARD_MEGATRON };
        if (shard_open(&d->shard, path, formats[format - DOCUMENT_LLMC], err)) goto failed;
    } else if (file_map_open(&d->map, path, err) ||
               text_file_start(&d->at, d->map.bytes, d->map.len, path, err))
        goto failed;
    return OK;
failed:
    documents_close(d);
    *out = NULL;
    return err->status;
}

void documents_close(struct documents *docs)
{
    if (!docs) return;
    json_decref(docs->json);
    file_map_close(&docs->map);
    shard_close(&docs->shard);
    ids_release(&docs->ids);
    free(docs);
}

/* ---- text ------------------------------------------------------------------------ */

enum { CUT_AT_GAP = 4 << 10, CUT_AT_LINE = 64 << 10, CUT_ANYWHERE = 1 << 20 };

/* At most n bytes, and no UTF-8 sequence cut in two. */
static size_t whole_letters(const char *text, size_t n)
{
    size_t end = n;
    while (end > n - 4 && (text[end] & 0xc0) == 0x80) end--;
    return end;
}

/* The bytes of the line end that `text` begins with: 0, 1 or 2. */
static size_t line_end(const char *text, size_t len)
{
    if (len && *text == '\n') return 1;
    return len > 1 && text[0] == '\r' && text[1] == '\n' ? 2 : 0;
}

/* How many of the `len` bytes from `text` on are one document. */
static size_t cut_text(const char *text, size_t len)
{
    size_t end = 0;
    while (end < len) {
        const char *newline = memchr(text + end, '\n', len - end);
        if (!newline)
            end = len;
        else
            end = (size_t)(newline - text) + 1;
        if (end > CUT_ANYWHERE) return whole_letters(text, CUT_ANYWHERE);
        bool gap = line_end(text + end, len - end) > 0;
        if (end >= CUT_AT_LINE || (gap && end >= CUT_AT_GAP)) return end;
    }
    return len;
}

static bool next_text(struct documents *d, struct document *out)
{
    const char *text = (const char *)d->map.bytes;
    for (size_t n = 1; n && d->at < d->map.len; d->at += n)
        n = line_end(text + d->at, d->map.len - d->at);
    if (d->at == d->map.len) return false;
    *out = (struct document){ .text = text + d->at,
                              .len = cut_text(text + d->at, d->map.len - d->at) };
    d->at += out->len;
    return true;
}

/* ---- jsonl ------------------------------------------------------------------------- */

static bool blank(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r", line[i]) || !line[i]) return false;
    return true;
}

static bool parse_line(struct documents *d, struct document *out, const char *line, size_t len,
                       struct error *err)
{
    bool mended;
    json_decref(d->json);
    d->json = NULL;
    if (len > DOCUMENT_MAX_BYTES) {
        fail(err, E_LIMIT, "is longer than %d bytes", DOCUMENT_MAX_BYTES);
    } else if ((d->json = loose_json_parse(line, len, JSON_ALLOW_NUL, &mended, err))) {
        struct field root;
        field_root(&root, d->json, err);
        if (field_string(&root, "text", DOCUMENT_MAX_BYTES)) {
            json_t *text = json_object_get(d->json, "text");
            *out = (struct document){ .text = json_string_value(text),
                                      .len = json_string_length(text) };
        }
    }
    if (err->status) fail_in(err, "%.200s: line %zu", d->path, d->line);
    return !err->status;
}

static bool next_line(struct documents *d, struct document *out, struct error *err)
{
    while (d->at < d->map.len) {
        const char *line = (const char *)d->map.bytes + d->at;
        const char *newline = memchr(line, '\n', d->map.len - d->at);
        size_t len = newline ? (size_t)(newline - line) : d->map.len - d->at;
        d->at += len + (newline != NULL);
        d->line++;
        if (blank(line, len)) continue;
        if (!parse_line(d, out, line, len, err)) return false;
        if (out->len) return true;
    }
    return false;
}

/* ---- token shards --------------------------------------------------------------------- */

static bool is_end(struct documents *d)
{
    while (d->end < d->at) d->end = shard_document_end(&d->shard, d->n_ends++);
    return d->end == d->at;
}

/* Ids up to the next `eod`, which is left out, or the end that the index tells. */
static bool next_ids(struct documents *d, struct document *out, struct error *err)
{
    d->ids.n = 0;
    while (d->at < d->shard.n) {
        int32_t id;
        if (shard_read(&d->shard, d->at, 1, d->vocab_size, &id, err)) {
            fail_in(err, "%.200s", d->path);
            return false;
        }
        d->at++;
        if (id != d->eod) ids_put(&d->ids, id);
        bool full = d->ids.n == DOCUMENT_MAX_BYTES / sizeof id;
        if (d->ids.n && (id == d->eod || full || is_end(d))) break;
    }
    *out = (struct document){ .ids = d->ids.id, .n_ids = d->ids.n };
    return d->ids.n > 0;
}

/* ---- all ---------------------------------------------------------------------------------- */

bool documents_next(struct documents *docs, struct document *out, struct error *err)
{
    switch (docs->format) {
    case DOCUMENT_TEXT: return next_text(docs, out);
    case DOCUMENT_JSONL: return next_line(docs, out, err);
    default: return next_ids(docs, out, err);
    }
}

size_t documents_done(const struct documents *docs)
{
    return is_tokens(docs->format) ? docs->at * (size_t)docs->shard.width : docs->at;
}

size_t documents_size(const struct documents *docs)
{
    return is_tokens(docs->format) ? (size_t)docs->shard.n * (size_t)docs->shard.width
                                   : docs->map.len;
}
