#include "trainer/formats/gguf_write.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 32 };

void gguf_out_init(struct gguf_out *out)
{
    *out = (struct gguf_out){ 0 };
    buf_init(&out->keys, GGUF_OUT_MAX_HEAD);
    buf_init(&out->infos, 64 << 20);
}

static void put_u32(struct buf *buf, uint32_t u) { buf_put(buf, &u, sizeof u); }
static void put_u64(struct buf *buf, uint64_t u) { buf_put(buf, &u, sizeof u); }

static void put_text(struct buf *buf, const char *text, size_t len)
{
    put_u64(buf, len);
    buf_put(buf, text, len);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void put_key(struct gguf_out *out, const char *key, enum gguf_type type)
{
    put_text(&out->keys, key, strlen(key));
    put_u32(&out->keys, type);
    out->n_keys++;
}

static void put_array(struct gguf_out *out, const char *key, enum gguf_type type, size_t n)
{
    put_key(out, key, GGUF_ARRAY);
    put_u32(&out->keys, type);
    put_u64(&out->keys, n);
}

void gguf_put_string(struct gguf_out *out, const char *key, const char *text)
{
    put_key(out, key, GGUF_STRING);
    put_text(&out->keys, text, strlen(text));
}

void gguf_put_u32(struct gguf_out *out, const char *key, uint32_t value)
{
    put_key(out, key, GGUF_U32);
    put_u32(&out->keys, value);
}

void gguf_put_f32(struct gguf_out *out, const char *key, double value)
{
    float x = (float)value;
    put_key(out, key, GGUF_F32);
    buf_put(&out->keys, &x, sizeof x);
}

void gguf_put_bool(struct gguf_out *out, const char *key, bool value)
{
    put_key(out, key, GGUF_BOOL);
    buf_putc(&out->keys, value ? 1 : 0);
}

void gguf_put_i32s(struct gguf_out *out, const char *key, const int32_t *values, size_t n)
{
    put_array(out, key, GGUF_I32, n);
    buf_put(&out->keys, values, n * sizeof *values);
}

void gguf_put_f32s(struct gguf_out *out, const char *key, const float *values, size_t n)
{
    put_array(out, key, GGUF_F32, n);
    buf_put(&out->keys, values, n * sizeof *values);
}

void gguf_put_strings(struct gguf_out *out, const char *key, size_t n)
{
    put_array(out, key, GGUF_STRING, n);
}
void gguf_put_item(struct gguf_out *out, const char *text, size_t len)
{
    put_text(&out->keys, text, len);
}

/* ---- tensors ------------------------------------------------------------------------------- */

static uint64_t aligned(uint64_t n) { return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

void gguf_put_tensor(struct gguf_out *out, const char *name, const struct quant_type *type,
                     int cols, int rows)
{
    uint64_t n = (uint64_t)cols / (uint64_t)type->block * (uint64_t)type->bytes *
                 (uint64_t)(rows ? rows : 1);
    put_text(&out->infos, name, strlen(name));
    put_u32(&out->infos, rows ? 2 : 1);
    put_u64(&out->infos, (uint64_t)cols);
    if (rows) put_u64(&out->infos, (uint64_t)rows);
    put_u32(&out->infos, (uint32_t)type->type);
    put_u64(&out->infos, out->offset);

    out->end = realloc(out->end, (size_t)(out->n_tensors + 1) * sizeof *out->end);
    if (!out->end) abort();
    out->end[out->n_tensors++] = out->offset + n;
    out->offset = aligned(out->offset + n);
}

/* ---- the file ------------------------------------------------------------------------------ */

static void pad_to(struct gguf_out *out, uint64_t from, uint64_t to)
{
    static const char zeros[ALIGNMENT];
    file_put(out->file, zeros, (size_t)(to - from));
}

enum status gguf_out_start(struct gguf_out *out, const char *path, struct error *err)
{
    uint32_t version = 3;
    if (out->keys.failed || out->infos.failed)
        return fail(err, E_LIMIT, "the keys of %.200s are too long", path);
    TRY(file_create(&out->file, path, err));
    file_put(out->file, "GGUF", 4);
    file_put(out->file, &version, sizeof version);
    file_put(out->file, &out->n_tensors, sizeof out->n_tensors);
    file_put(out->file, &out->n_keys, sizeof out->n_keys);
    file_put(out->file, out->keys.bytes, out->keys.len);
    file_put(out->file, out->infos.bytes, out->infos.len);
    uint64_t head = file_offset(out->file);
    if (out->n_tensors) pad_to(out, head, aligned(head));
    return OK;
}

void gguf_out_data(struct gguf_out *out, const void *bytes, size_t n)
{
    if (!n || !out->file) return;
    file_put(out->file, bytes, n);
    out->at += n;
    if (out->current < out->n_tensors && out->at == out->end[out->current]) {
        pad_to(out, out->at, aligned(out->at));
        out->at = aligned(out->at);
        out->current++;
    }
}

enum status gguf_out_finish(struct gguf_out *out, char sha256[HASH_HEX], struct error *err)
{
    bool whole = out->current == out->n_tensors;
    if (out->file) file_close(out->file, sha256, err);
    if (!whole)
        fail(err, E_INPUT, "%llu of %llu tensors were written", (unsigned long long)out->current,
             (unsigned long long)out->n_tensors);
    free(out->end);
    buf_release(&out->keys);
    buf_release(&out->infos);
    *out = (struct gguf_out){ 0 };
    return err->status;
}
