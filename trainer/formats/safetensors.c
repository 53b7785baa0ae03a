#include "trainer/formats/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/field.h"
#include "trainer/formats/file.h"

struct safetensors {
    struct file_map map; /* empty when parsed from memory */
    json_t *header;      /* owns the names and the metadata */
    struct tensor *tensor;
    int n;
};

static uint64_t read_u64(const unsigned char *b)
{
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--) x = x << 8 | b[i];
    return x;
}

/* ---- one entry of the header ------------------------------------------------------ */

static int type_of(const char *name)
{
    for (int t = 0; t < TENSOR_TYPES; t++)
        if (!strcmp(name, tensor_type_name((enum tensor_type)t))) return t;
    return -1;
}

/* Bytes the shape takes, or -1 when that does not fit in 62 bits. */
static int64_t bytes_of(const struct tensor *t)
{
    uint64_t n = tensor_type_bytes(t->type);
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] == 0) return 0;
    for (int i = 0; i < t->rank; i++) {
        if (n > (UINT64_C(1) << 62) / (uint64_t)t->dim[i]) return -1;
        n *= (uint64_t)t->dim[i];
    }
    return (int64_t)n;
}

static enum status read_shape(struct tensor *t, struct field *entry)
{
    struct field dims;
    t->rank = (int)field_array(entry, "shape", TENSOR_MAX_RANK, &dims);
    if (!dims.json) field_fail(entry, "shape", "is missing");
    for (int i = 0; i < t->rank; i++) t->dim[i] = field_item_int(&dims, (size_t)i, 0, INT64_MAX);
    return entry->err->status;
}

/* Reads an entry whose data must lie in 0..data_len; bytes are relative to `data`. */
static enum status read_entry(struct tensor *t, struct field *entry, const unsigned char *data,
                              size_t data_len)
{
    const char *type = field_string(entry, "dtype", 16);
    int known = type ? type_of(type) : -1;
    if (type && known < 0) field_fail(entry, "dtype", "is %s, which Lathe does not read", type);
    TRY(entry->err->status);
    t->type = (enum tensor_type)known;
    TRY(read_shape(t, entry));

    struct field offsets;
    if (field_array(entry, "data_offsets", 2, &offsets) != 2)
        field_fail(entry, "data_offsets", "is not an array of two offsets");
    int64_t begin = field_item_int(&offsets, 0, 0, (int64_t)data_len);
    int64_t end = field_item_int(&offsets, 1, 0, (int64_t)data_len);
    TRY(field_end(entry));

    int64_t want = bytes_of(t);
    if (want < 0)
        field_fail(entry, "shape", "overflows");
    else if (end < begin || end - begin != want)
        field_fail(entry, "data_offsets", "span %lld bytes, dtype and shape need %lld",
                   (long long)(end - begin), (long long)want);
    t->bytes = data + begin;
    t->n_bytes = (size_t)want;
    return entry->err->status;
}

/* ---- the header ---------------------------------------------------------------------- */

static enum status check_metadata(struct field *root)
{
    struct field metadata;
    if (!field_object(root, "__metadata__", &metadata)) return root->err->status;
    const char *key;
    json_t *value;
    json_object_foreach(metadata.json, key, value) if (!json_is_string(value))
        field_fail(&metadata, key, "is not a string");
    return root->err->status;
}

static int by_place(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes;
}

static int by_name(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Tensors lie side by side from the first byte of the data to the last. */
static enum status check_places(struct safetensors *st, const unsigned char *data, size_t len,
                                struct error *err)
{
    const unsigned char *at = data;
    qsort(st->tensor, (size_t)st->n, sizeof *st->tensor, by_place);
    for (int i = 0; i < st->n; i++) {
        const struct tensor *t = &st->tensor[i];
        if (t->bytes != at)
            return fail(err, E_INPUT, "tensor %.100s starts %s the end of the one before it",
                        t->name, t->bytes < at ? "before" : "behind");
        at += t->n_bytes;
    }
    if (at != data + len)
        return fail(err, E_INPUT, "%zu bytes behind the last tensor belong to none",
                    (size_t)(data + len - at));
    qsort(st->tensor, (size_t)st->n, sizeof *st->tensor, by_name);
    return OK;
}

static enum status read_entries(struct safetensors *st, const unsigned char *data, size_t len,
                                struct error *err)
{
    struct field root;
    field_root(&root, st->header, err);
    TRY(check_metadata(&root));
    size_t n = json_object_size(st->header);
    if (n > SAFETENSORS_MAX_TENSORS)
        return fail(err, E_LIMIT, "has %zu tensors, at most %d are read", n,
                    SAFETENSORS_MAX_TENSORS);
    st->tensor = calloc(n + 1, sizeof *st->tensor);
    if (!st->tensor) abort();

    const char *name;
    json_t *value;
    json_object_foreach(st->header, name, value)
    {
        if (!strcmp(name, "__metadata__")) continue;
        struct field entry = { .json = value, .parent = &root, .key = name, .err = err };
        if (!json_is_object(value)) field_fail(&root, name, "is not an object");
        st->tensor[st->n] = (struct tensor){ .name = name };
        if (err->status || read_entry(&st->tensor[st->n++], &entry, data, len)) return err->status;
    }
    return check_places(st, data, len, err);
}

static enum status read_header(struct safetensors *st, const unsigned char *bytes, size_t len,
                               struct error *err)
{
    if (len < 8) return fail(err, E_INPUT, "has %zu bytes; a header length alone takes 8", len);
    uint64_t n = read_u64(bytes);
    if (n > len - 8)
        return fail(err, E_INPUT, "the header should have %llu bytes, the file ends after %zu",
                    (unsigned long long)n, len - 8);
    if (n > SAFETENSORS_MAX_HEADER)
        return fail(err, E_LIMIT, "the header has %llu bytes, at most %d are read",
                    (unsigned long long)n, SAFETENSORS_MAX_HEADER);
    if (!n || bytes[8] != '{') return fail(err, E_INPUT, "the header does not start with '{'");
    st->header = field_parse((const char *)bytes + 8, (size_t)n, err);
    if (!st->header) return fail_in(err, "header");
    return read_entries(st, bytes + 8 + n, len - 8 - (size_t)n, err);
}

/* ---- opening and looking up -------------------------------------------------------------- */

enum status safetensors_parse(struct safetensors **out, const void *bytes, size_t len,
                              const char *name, struct error *err)
{
    struct safetensors *st = calloc(1, sizeof *st);
    if (!st) abort();
    *out = NULL;
    if (read_header(st, bytes, len, err)) {
        safetensors_close(st);
        return fail_in(err, "%.120s", name);
    }
    *out = st;
    return OK;
}

enum status safetensors_open(struct safetensors **out, const char *path, struct error *err)
{
    struct file_map map;
    const char *slash = strrchr(path, '/');
    *out = NULL;
    TRY(file_map_open(&map, path, err));
    if (safetensors_parse(out, map.bytes, map.len, slash ? slash + 1 : path, err)) {
        file_map_close(&map);
        return err->status;
    }
    (*out)->map = map;
    return OK;
}

void safetensors_close(struct safetensors *st)
{
    if (!st) return;
    json_decref(st->header);
    file_map_close(&st->map);
    free(st->tensor);
    free(st);
}

int safetensors_count(const struct safetensors *st) { return st->n; }

const struct tensor *safetensors_at(const struct safetensors *st, int i) { return &st->tensor[i]; }

const struct tensor *safetensors_find(const struct safetensors *st, const char *name)
{
    struct tensor key = { .name = name };
    return bsearch(&key, st->tensor, (size_t)st->n, sizeof key, by_name);
}

const struct tensor *safetensors_need(const struct safetensors *st, const char *name,
                                      struct error *err)
{
    const struct tensor *t = safetensors_find(st, name);
    if (!t) fail(err, E_MISSING, "tensor %.100s is missing", name);
    return t;
}

const char *safetensors_metadata(const struct safetensors *st, const char *key)
{
    json_t *metadata = json_object_get(st->header, "__metadata__");
    return json_string_value(json_object_get(metadata, key));
}
