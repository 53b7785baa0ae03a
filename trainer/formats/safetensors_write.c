#include <stdlib.h>
#include <string.h>
#include "search/base/emit.h"
#include "trainer/formats/file.h"
#include "trainer/formats/safetensors.h"

/* The reference writer's order: wide types first, so that every tensor is aligned, then names. */
static int by_width_and_name(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    size_t wx = tensor_type_bytes(x->type), wy = tensor_type_bytes(y->type);
    if (wx != wy) return wx > wy ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void emit_tensor(struct emit *e, const struct tensor *t, size_t begin)
{
    emit_key(e, t->name);
    emit_begin(e, '{');
    emit_kv_string(e, "dtype", tensor_type_name(t->type));
    emit_key(e, "shape");
    emit_begin(e, '[');
    for (int i = 0; i < t->rank; i++) emit_int(e, t->dim[i]);
    emit_end(e);
    emit_key(e, "data_offsets");
    emit_begin(e, '[');
    emit_int(e, (int64_t)begin);
    emit_int(e, (int64_t)(begin + t->n_bytes));
    emit_end(e);
    emit_end(e);
}

static void emit_metadata(struct emit *e, const char *const *metadata)
{
    if (!metadata || !metadata[0]) return;
    emit_key(e, "__metadata__");
    emit_begin(e, '{');
    for (int i = 0; metadata[i]; i += 2) emit_kv_string(e, metadata[i], metadata[i + 1]);
    emit_end(e);
}

static enum status build_header(struct buf *header, const struct tensor *tensors, int n,
                                const char *const *metadata, struct error *err)
{
    struct emit e;
    emit_init(&e, header);
    emit_begin(&e, '{');
    emit_metadata(&e, metadata);
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        emit_tensor(&e, &tensors[i], at);
        at += tensors[i].n_bytes;
    }
    emit_end(&e);
    while (!header->failed && header->len % 8) buf_putc(header, ' ');
    if (header->failed) return fail(err, E_LIMIT, "the header of %d tensors is too large", n);
    return OK;
}

static void put_u64(struct file_out *out, uint64_t x)
{
    unsigned char b[8];
    for (int i = 0; i < 8; i++) b[i] = (unsigned char)(x >> (8 * i));
    file_put(out, b, 8);
}

static enum status put_tensors(struct file_out *out, const struct tensor *tensors, int n,
                               const struct tensor_source *source, struct error *err)
{
    for (int i = 0; i < n; i++) {
        const struct tensor *t = &tensors[i];
        const void *bytes = source ? source->bytes(source->user, t) : t->bytes;
        if (!bytes && t->n_bytes)
            return fail(err, E_MEMORY, "no memory to write tensor %.100s", t->name);
        file_put(out, bytes, t->n_bytes);
    }
    return OK;
}

static struct tensor *in_order(const struct tensor *tensors, int n)
{
    struct tensor *sorted = calloc((size_t)n + 1, sizeof *sorted);
    if (!sorted) abort();
    for (int i = 0; i < n; i++) {
        sorted[i] = tensors[i];
        sorted[i].n_bytes = (size_t)tensor_count(&tensors[i]) * tensor_type_bytes(tensors[i].type);
    }
    qsort(sorted, (size_t)n, sizeof *sorted, by_width_and_name);
    return sorted;
}

enum status safetensors_write(const char *path, const struct tensor *tensors, int n,
                              const char *const *metadata, const struct tensor_source *source,
                              char sha256[HASH_HEX], struct error *err)
{
    struct tensor *sorted = in_order(tensors, n);
    struct buf header;
    struct file_out *out = NULL;
    struct error written = { 0 };
    buf_init(&header, SAFETENSORS_MAX_HEADER);
    if (build_header(&header, sorted, n, metadata, err)) goto out;
    if (file_create(&out, path, err)) goto out;

    put_u64(out, header.len);
    file_put(out, header.bytes, header.len);
    put_tensors(out, sorted, n, source, err);
    if (file_close(out, sha256, &written)) fail(err, written.status, "%s", written.text);
out:
    buf_release(&header);
    free(sorted);
    return err->status;
}
