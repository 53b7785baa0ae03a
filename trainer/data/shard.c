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

/* The index says how wide ids are: a code at byte 17, behind the magic and a version. */
static enum status megatron_width(int *width, const char *path, struct error *err)
{
    static const int bytes_of_code[] = { 0, 1, 1, 2, 4, 8, 0, 0, 2 };
    struct file_map idx;
    TRY(file_map_open(&idx, path, err));
    *width = 0;
    if (idx.len < 34 || memcmp(idx.bytes, "MMIDIDX\0\0", 9) || little(idx.bytes + 9, 8) != 1)
        fail(err, E_INPUT, "%s is not a Megatron index of version 1", path);
    else if (idx.bytes[17] < 9)
        *width = bytes_of_code[idx.bytes[17]];
    if (!err->status && !*width)
        fail(err, E_INPUT, "%s: type code %d is not one of whole numbers", path, idx.bytes[17]);
    file_map_close(&idx);
    return err->status;
}

static enum status open_megatron(struct shard *s, const char *path, struct error *err)
{
    char idx[PATH_ROOM];
    size_t n = strlen(path);
    if (n < 4 || n + 1 > PATH_ROOM || strcmp(path + n - 4, ".bin"))
        return fail(err, E_INPUT, "a Megatron shard is named NAME.bin, with NAME.idx beside it");
    snprintf(idx, sizeof idx, "%.*s.idx", (int)(n - 4), path);
    TRY(megatron_width(&s->width, idx, err));
    if (s->map.len % (unsigned)s->width)
        return fail(err, E_INPUT, "its size is no multiple of %d", s->width);
    s->ids = s->map.bytes;
    s->n = s->map.len / (unsigned)s->width;
    return OK;
}

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
