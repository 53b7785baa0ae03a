#include "trainer/data/shard.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEADER_BYTES = 1024,
    MAGIC_16 = 20240520,
    MAGIC_32 = 20240801,
    VERSION_16 = 1,
    VERSION_32 = 7
};

static uint64_t little(const unsigned char *b, int width)
{
    uint64_t x = 0;
    for (int i = width - 1; i >= 0; i--) x = x << 8 | b[i];
    return x;
}

/* ---- opening, by format --------------------------------------------------------- */

static enum status open_llmc(struct shard *s, struct error *err)
{
    const unsigned char *h = s->map.bytes;
    if (s->map.len < HEADER_BYTES)
        return fail(err, E_INPUT, "has %zu bytes, a header alone takes %d", s->map.len,
                    HEADER_BYTES);
    uint64_t magic = little(h, 4), version = little(h + 4, 4);
    if (magic == MAGIC_16 && version == VERSION_16)
        s->width = 2;
    else if (magic == MAGIC_32 && version == VERSION_32)
        s->width = 4;
    else
        return fail(err, E_INPUT, "starts with %llu, %llu, which is no token shard",
                    (unsigned long long)magic, (unsigned long long)version);
    uint64_t wide = little(h + 12, 8);
    s->n = wide ? wide : little(h + 8, 4);
    s->ids = h + HEADER_BYTES;
    uint64_t room = (s->map.len - HEADER_BYTES) / (unsigned)s->width;
    if (s->n != room || (s->map.len - HEADER_BYTES) % (unsigned)s->width)
        return fail(err, E_INPUT, "should hold %llu ids, its size fits %llu",
                    (unsigned long long)s->n, (unsigned long long)room);
    return OK;
}

static enum status open_nanogpt(struct shard *s, struct error *err)
{
    if (s->map.len % 2) return fail(err, E_INPUT, "has an odd number of bytes, ids take 2");
    s->ids = s->map.bytes;
    s->width = 2;
    s->n = s->map.len / 2;
    return OK;
}

/* ---- Megatron's index --------------------------------------------------------------
 *
 *     "MMIDIDX\0\0", u64 version 1, u8 code of the ids' type, u64 sequences S, u64 marks D,
 *     i32 length[S], i64 byte offset in NAME.bin[S], i64 mark[D]
 *
 * Document i is the sequences mark[i]..mark[i+1]-1. Sequences behind the last mark, which
 * not every writer sets, are documents each.
 */
enum { INDEX_HEADER = 34 };

static uint64_t length(const struct shard *s, uint64_t i)
{
    return little(s->idx.bytes + INDEX_HEADER + 4 * i, 4);
}

static uint64_t offset(const struct shard *s, uint64_t i)
{
    return little(s->idx.bytes + INDEX_HEADER + 4 * s->n_sequences + 8 * i, 8);
}

static uint64_t mark(const struct shard *s, uint64_t i)
{
    return little(s->idx.bytes + INDEX_HEADER + 12 * s->n_sequences + 8 * i, 8);
}

uint64_t shard_document_end(const struct shard *s, uint64_t i)
{
    uint64_t next, last = s->n_marks ? s->n_marks - 1 : 0;
    if (i < last)
        next = mark(s, i + 1);
    else
        next = (s->n_marks ? mark(s, last) : 0) + (i - last) + 1;
    return next < s->n_sequences ? offset(s, next) / (unsigned)s->width : s->n;
}

static enum status read_index_header(struct shard *s, struct error *err)
{
    static const int bytes_of_code[] = { 0, 1, 1, 2, 4, 8, 0, 0, 2 };
    const unsigned char *h = s->idx.bytes;
    if (s->idx.len < INDEX_HEADER || memcmp(h, "MMIDIDX\0\0", 9) || little(h + 9, 8) != 1)
        return fail(err, E_INPUT, "is not a Megatron index of version 1");
    s->width = h[17] < 9 ? bytes_of_code[h[17]] : 0;
    if (!s->width) return fail(err, E_INPUT, "type code %d is not one of whole numbers", h[17]);
    s->n_sequences = little(h + 18, 8);
    s->n_marks = little(h + 26, 8);
    uint64_t room = s->idx.len - INDEX_HEADER;
    if (s->n_sequences > room / 12 || s->n_marks > (room - 12 * s->n_sequences) / 8)
        return fail(err, E_INPUT, "has %zu bytes, too few for %llu sequences and %llu documents",
                    s->idx.len, (unsigned long long)s->n_sequences, (unsigned long long)s->n_marks);
    return OK;
}

/* One behind the other, from the start of the ids to their end. */
static enum status check_sequences(const struct shard *s, struct error *err)
{
    uint64_t at = 0;
    for (uint64_t i = 0; i < s->n_sequences; i++) {
        uint64_t n = length(s, i);
        if (offset(s, i) != at * (unsigned)s->width || n > INT32_MAX || n > s->n - at)
            return fail(err, E_INPUT, "sequence %llu does not lie where the one before it ends",
                        (unsigned long long)i);
        at += n;
    }
    if (at == s->n) return OK;
    return fail(err, E_INPUT, "its sequences have %llu ids, the shard %llu", (unsigned long long)at,
                (unsigned long long)s->n);
}

static enum status check_marks(const struct shard *s, struct error *err)
{
    for (uint64_t i = 0, before = 0; i < s->n_marks; i++) {
        uint64_t now = mark(s, i);
        if (now < before || now > s->n_sequences || (!i && now))
            return fail(err, E_INPUT, "document %llu does not begin where the one before it ends",
                        (unsigned long long)i);
        before = now;
    }
    return OK;
}

static enum status read_index(struct shard *s, struct error *err)
{
    TRY(read_index_header(s, err));
    if (s->map.len % (unsigned)s->width)
        return fail(err, E_INPUT, "ids take %d bytes, the shard has %zu", s->width, s->map.len);
    s->ids = s->map.bytes;
    s->n = s->map.len / (unsigned)s->width;
    TRY(check_sequences(s, err));
    return check_marks(s, err);
}

static enum status open_megatron(struct shard *s, const char *path, struct error *err)
{
    char idx[PATH_ROOM];
    size_t n = strlen(path);
    if (n < 4 || n + 1 > PATH_ROOM || strcmp(path + n - 4, ".bin"))
        return fail(err, E_INPUT, "a Megatron shard is named NAME.bin, with NAME.idx beside it");
    snprintf(idx, sizeof idx, "%.*s.idx", (int)(n - 4), path);
    TRY(file_map_open(&s->idx, idx, err));
    return read_index(s, err) ? fail_in(err, "%.200s", idx) : OK;
}

/* ---- all --------------------------------------------------------------------------- */

static enum status open_mapped(struct shard *s, const char *path, enum shard_format format,
                               struct error *err)
{
    switch (format) {
    case SHARD_LLMC: return open_llmc(s, err);
    case SHARD_NANOGPT: return open_nanogpt(s, err);
    case SHARD_MEGATRON: return open_megatron(s, path, err);
    }
    abort();
}

enum status shard_open(struct shard *shard, const char *path, enum shard_format format,
                       struct error *err)
{
    *shard = (struct shard){ 0 };
    TRY(file_map_open(&shard->map, path, err));
    if (!open_mapped(shard, path, format, err)) return OK;
    shard_close(shard);
    return fail_in(err, "%.200s", path);
}

void shard_close(struct shard *shard)
{
    file_map_close(&shard->map);
    file_map_close(&shard->idx);
    *shard = (struct shard){ 0 };
}

enum status shard_read(const struct shard *s, uint64_t at, size_t n, int vocab_size, int32_t *out,
                       struct error *err)
{
    if (at > s->n || n > s->n - at)
        return fail(err, E_INPUT, "ids %llu.. are beyond the %llu of the shard",
                    (unsigned long long)at, (unsigned long long)s->n);
    const unsigned char *from = s->ids + at * (unsigned)s->width;
    for (size_t i = 0; i < n; i++, from += s->width) {
        uint64_t id = little(from, s->width);
        if (id >= (uint64_t)vocab_size)
            return fail(err, E_INPUT, "token %llu has id %llu, the vocabulary ends at %d",
                        (unsigned long long)(at + i), (unsigned long long)id, vocab_size - 1);
        out[i] = (int32_t)id;
    }
    return OK;
}

/* ---- writing ------------------------------------------------------------------------ */

struct shard_out {
    struct file_out *file;
    int width;
    uint64_t n;
};

static void build_header(const struct shard_out *out, unsigned char header[HEADER_BYTES])
{
    bool narrow = out->width == 2;
    uint32_t words[5] = { narrow ? MAGIC_16 : MAGIC_32, narrow ? VERSION_16 : VERSION_32,
                          out->n >> 31 ? 0 : (uint32_t)out->n, (uint32_t)out->n,
                          (uint32_t)(out->n >> 32) };
    memset(header, 0, HEADER_BYTES);
    for (int i = 0; i < 20; i++) header[i] = (unsigned char)(words[i / 4] >> (8 * (i % 4)));
}

enum status shard_create(struct shard_out **out, const char *path, int vocab_size,
                         struct error *err)
{
    unsigned char header[HEADER_BYTES];
    struct shard_out *o = calloc(1, sizeof *o);
    if (!o) abort();
    *out = NULL;
    o->width = vocab_size <= 65536 ? 2 : 4;
    if (file_create(&o->file, path, err)) {
        free(o);
        return err->status;
    }
    build_header(o, header);
    file_put(o->file, header, sizeof header);
    *out = o;
    return OK;
}

void shard_put(struct shard_out *out, const int32_t *ids, size_t n)
{
    unsigned char room[4096];
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        for (int b = 0; b < out->width; b++)
            room[used++] = (unsigned char)((uint32_t)ids[i] >> (8 * b));
        if (used + 4 > sizeof room || i + 1 == n) {
            file_put(out->file, room, used);
            used = 0;
        }
    }
    out->n += n;
}

uint64_t shard_count(const struct shard_out *out) { return out->n; }

enum status shard_finish(struct shard_out *out, struct error *err)
{
    if (!out) return OK;
    unsigned char header[HEADER_BYTES];
    build_header(out, header); /* the count was not known when it was written first */
    file_patch(out->file, 0, header, sizeof header);
    enum status status = file_close(out->file, NULL, err);
    free(out);
    return status;
}
