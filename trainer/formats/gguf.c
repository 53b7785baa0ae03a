#include "trainer/formats/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/formats/file.h"

struct gguf {
    struct file_map map; /* zeroed when the caller keeps the bytes */
    struct gguf_key *key;
    struct gguf_tensor *tensor;
    uint64_t *offset; /* of tensors, in the order of the file, while opening */
    int n_keys, n_tensors;
    uint64_t alignment;
};

/* What is left to read. The first failure stops it. */
struct cursor {
    const unsigned char *at, *end;
    struct error *err;
};

static const int width[GGUF_TYPES] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

/* ---- the cursor ---------------------------------------------------------------------------- */

static const unsigned char *take(struct cursor *c, uint64_t n)
{
    if (c->err->status) return NULL;
    if (n > (uint64_t)(c->end - c->at)) {
        fail(c->err, E_INPUT, "the file ends early");
        return NULL;
    }
    const unsigned char *p = c->at;
    c->at += n;
    return p;
}

static uint32_t take_u32(struct cursor *c)
{
    uint32_t u = 0;
    const unsigned char *p = take(c, sizeof u);
    if (p) memcpy(&u, p, sizeof u);
    return u;
}

static uint64_t take_u64(struct cursor *c)
{
    uint64_t u = 0;
    const unsigned char *p = take(c, sizeof u);
    if (p) memcpy(&u, p, sizeof u);
    return u;
}

static struct gguf_text take_string(struct cursor *c, uint64_t max)
{
    uint64_t len = take_u64(c);
    if (len > max)
        fail(c->err, E_INPUT, "a string has %" PRIu64 " bytes, more than %" PRIu64, len, max);
    const void *bytes = take(c, len);
    return (struct gguf_text){ bytes, bytes ? (size_t)len : 0 };
}

/* ---- keys ---------------------------------------------------------------------------------- */

static enum status read_elements(struct gguf_key *key, struct cursor *c)
{
    key->bytes = c->at;
    if (key->type != GGUF_STRING)
        take(c, key->n * (uint64_t)width[key->type]);
    else
        for (size_t i = 0; i < key->n && !c->err->status; i++) take_string(c, GGUF_MAX_STRING);
    return c->err->status;
}

static enum status read_value(struct gguf_key *key, struct cursor *c)
{
    uint32_t type = take_u32(c);
    uint64_t n = 1;
    key->is_array = type == GGUF_ARRAY;
    if (key->is_array) {
        type = take_u32(c);
        n = take_u64(c);
    }
    TRY(c->err->status);
    if (type >= GGUF_TYPES || type == GGUF_ARRAY)
        return fail(c->err, E_INPUT, "its value has type %" PRIu32 ", which we do not read", type);
    if (n > GGUF_MAX_ARRAY)
        return fail(c->err, E_INPUT, "it has %" PRIu64 " elements, more than %d", n,
                    GGUF_MAX_ARRAY);
    key->type = (enum gguf_type)type;
    key->n = (size_t)n;
    return read_elements(key, c);
}

static enum status read_key(struct gguf_key *key, int i, struct cursor *c)
{
    key->name = take_string(c, GGUF_MAX_NAME);
    if (c->err->status) return fail_in(c->err, "key %d", i);
    if (!key->name.len) return fail(c->err, E_INPUT, "key %d has no name", i);
    if (read_value(key, c)) return fail_in(c->err, "key %.*s", (int)key->name.len, key->name.bytes);
    return OK;
}

/* ---- tensors ------------------------------------------------------------------------------- */

/* Elements of the tensor, or -1 when a dimension or the product is out of bounds. */
static int64_t count(const struct gguf_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < GGUF_MAX_DIMS; i++)
        if (t->dim[i] < 1 || __builtin_mul_overflow(n, t->dim[i], &n)) return -1;
    return n;
}

static enum status read_dims(struct gguf_tensor *t, struct cursor *c)
{
    uint32_t n_dims = take_u32(c);
    if (!c->err->status && (n_dims < 1 || n_dims > GGUF_MAX_DIMS))
        return fail(c->err, E_INPUT, "it has %" PRIu32 " dimensions, outside 1..%d", n_dims,
                    GGUF_MAX_DIMS);
    t->n_dims = (int)n_dims;
    for (int i = 0; i < GGUF_MAX_DIMS; i++) t->dim[i] = i < t->n_dims ? (int64_t)take_u64(c) : 1;
    return c->err->status;
}

static enum status read_tensor(struct gguf_tensor *t, uint64_t *offset, struct cursor *c)
{
    size_t bytes;
    TRY(read_dims(t, c));
    uint32_t type = take_u32(c);
    *offset = take_u64(c);
    TRY(c->err->status);
    t->type = quant_type_of(type);
    if (!t->type)
        return fail(c->err, E_INPUT,
                    "it has ggml type %" PRIu32 "; we read F32, F16, BF16, Q8_0, Q4_0, Q4_1, "
                    "Q5_0, Q5_1, Q4_K, Q5_K and Q6_K",
                    type);
    int64_t n = count(t);
    if (n < 0) return fail(c->err, E_INPUT, "its dimensions are 0 or too large");
    if (t->dim[0] % t->type->block)
        return fail(c->err, E_INPUT, "its rows of %" PRId64 " are no multiple of the block of %d",
                    t->dim[0], t->type->block);
    if (__builtin_mul_overflow((size_t)(n / t->type->block), (size_t)t->type->bytes, &bytes))
        return fail(c->err, E_INPUT, "its dimensions are too large");
    t->n_bytes = bytes;
    return OK;
}

static enum status read_named_tensor(struct gguf *g, int i, struct cursor *c)
{
    struct gguf_tensor *t = &g->tensor[i];
    t->name = take_string(c, GGUF_MAX_NAME);
    if (c->err->status) return fail_in(c->err, "tensor %d", i);
    if (read_tensor(t, &g->offset[i], c))
        return fail_in(c->err, "tensor %.*s", (int)t->name.len, t->name.bytes);
    return OK;
}

static enum status place_tensors(struct gguf *g, const unsigned char *start, struct cursor *c)
{
    uint64_t head = (uint64_t)(c->at - start), room,
             gap = (g->alignment - head % g->alignment) % g->alignment;
    if (g->n_tensors && gap > (uint64_t)(c->end - c->at))
        return fail(c->err, E_INPUT, "the file ends before its data");
    room = g->n_tensors ? (uint64_t)(c->end - c->at) - gap : 0;
    for (int i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensor[i];
        bool inside = g->offset[i] <= room && t->n_bytes <= room - g->offset[i];
        if (g->offset[i] % g->alignment || !inside)
            return fail(c->err, E_INPUT, "tensor %.*s: its offset %" PRIu64 " is %s",
                        (int)t->name.len, t->name.bytes, g->offset[i],
                        inside ? "not aligned" : "outside the file, or it ends there");
        t->bytes = c->at + gap + g->offset[i];
    }
    return OK;
}

/* ---- order, duplicates, overlaps ----------------------------------------------------------- */

static int compare_texts(const struct gguf_text *a, const struct gguf_text *b)
{
    int order = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int by_key(const void *a, const void *b)
{
    const struct gguf_key *x = a, *y = b;
    return compare_texts(&x->name, &y->name);
}

static int by_tensor(const void *a, const void *b)
{
    const struct gguf_tensor *x = a, *y = b;
    return compare_texts(&x->name, &y->name);
}

static int by_place(const void *a, const void *b)
{
    const struct gguf_tensor *x = a, *y = b;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static enum status check_apart(struct gguf *g, struct error *err)
{
    if (g->n_tensors) qsort(g->tensor, (size_t)g->n_tensors, sizeof *g->tensor, by_place);
    for (int i = 1; i < g->n_tensors; i++) {
        const struct gguf_tensor *a = &g->tensor[i - 1], *b = &g->tensor[i];
        if (a->bytes + a->n_bytes > b->bytes)
            return fail(err, E_INPUT, "tensors %.*s and %.*s overlap", (int)a->name.len,
                        a->name.bytes, (int)b->name.len, b->name.bytes);
    }
    return OK;
}

static enum status sort_names(struct gguf *g, struct error *err)
{
    if (g->n_keys) qsort(g->key, (size_t)g->n_keys, sizeof *g->key, by_key);
    if (g->n_tensors) qsort(g->tensor, (size_t)g->n_tensors, sizeof *g->tensor, by_tensor);
    for (int i = 1; i < g->n_keys; i++)
        if (!by_key(&g->key[i - 1], &g->key[i]))
            return fail(err, E_INPUT, "key %.*s is there twice", (int)g->key[i].name.len,
                        g->key[i].name.bytes);
    for (int i = 1; i < g->n_tensors; i++)
        if (!by_tensor(&g->tensor[i - 1], &g->tensor[i]))
            return fail(err, E_INPUT, "tensor %.*s is there twice", (int)g->tensor[i].name.len,
                        g->tensor[i].name.bytes);
    return OK;
}

/* ---- the file
 * ------------------------------------------------------------------------------------------------
 */

static enum status read_head(struct gguf *g, struct cursor *c)
{
    const unsigned char *magic = take(c, 4);
    if (!magic || memcmp(magic, "GGUF", 4)) {
        c->err->status = OK; /* a short file is no GGUF file either */
        return fail(c->err, E_INPUT, "this is not a GGUF file");
    }
    uint32_t version = take_u32(c);
    uint64_t n_tensors = take_u64(c), n_keys = take_u64(c);
    TRY(c->err->status);
    if (version != 3)
        return fail(c->err, E_INPUT, "it is GGUF version %" PRIu32 "; we read version 3", version);
    if (n_tensors > GGUF_MAX_TENSORS || n_keys > GGUF_MAX_KEYS)
        return fail(c->err, E_INPUT,
                    "%" PRIu64 " tensors and %" PRIu64 " keys, more than %d and %d", n_tensors,
                    n_keys, GGUF_MAX_TENSORS, GGUF_MAX_KEYS);
    g->n_tensors = (int)n_tensors;
    g->n_keys = (int)n_keys;
    g->key = calloc((size_t)n_keys + 1, sizeof *g->key);
    g->tensor = calloc((size_t)n_tensors + 1, sizeof *g->tensor);
    g->offset = calloc((size_t)n_tensors + 1, sizeof *g->offset);
    if (!g->key || !g->tensor || !g->offset) abort();
    return OK;
}

static enum status read_alignment(struct gguf *g, struct error *err)
{
    g->alignment = 32;
    for (int i = 0; i < g->n_keys; i++) {
        const struct gguf_key *key = &g->key[i];
        if (key->name.len != 17 || memcmp(key->name.bytes, "general.alignment", 17)) continue;
        int64_t n = gguf_is_whole(key) && key->n == 1 ? gguf_int_at(key, 0) : 0;
        if (n < 1 || n > GGUF_MAX_ALIGNMENT || (n & (n - 1)))
            return fail(err, E_INPUT, "key general.alignment is no power of two up to %d",
                        GGUF_MAX_ALIGNMENT);
        g->alignment = (uint64_t)n;
    }
    return OK;
}

static enum status read_all(struct gguf *g, const unsigned char *bytes, size_t len,
                            struct error *err)
{
    struct cursor c = { bytes, bytes + len, err };
    TRY(read_head(g, &c));
    for (int i = 0; i < g->n_keys; i++) TRY(read_key(&g->key[i], i, &c));
    for (int i = 0; i < g->n_tensors; i++) TRY(read_named_tensor(g, i, &c));
    TRY(read_alignment(g, err));
    TRY(place_tensors(g, bytes, &c));
    TRY(check_apart(g, err));
    return sort_names(g, err);
}

enum status gguf_parse(struct gguf **out, const void *bytes, size_t len, struct error *err)
{
    struct gguf *g = calloc(1, sizeof *g);
    if (!g) abort();
    *out = NULL;
    if (read_all(g, bytes, len, err))
        gguf_close(g);
    else
        *out = g;
    return err->status;
}

enum status gguf_open(struct gguf **out, const char *path, struct error *err)
{
    struct file_map map = { 0 };
    *out = NULL;
    TRY(file_map_open(&map, path, err));
    if (gguf_parse(out, map.len ? (const void *)map.bytes : "", map.len, err)) {
        file_map_close(&map);
        return fail_in(err, "%.160s", path);
    }
    (*out)->map = map;
    return OK;
}

void gguf_close(struct gguf *g)
{
    if (!g) return;
    file_map_close(&g->map);
    free(g->key);
    free(g->tensor);
    free(g->offset);
    free(g);
}

int gguf_n_tensors(const struct gguf *g) { return g->n_tensors; }
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, int i) { return &g->tensor[i]; }

const struct gguf_key *gguf_keys(const struct gguf *g, int *n)
{
    *n = g->n_keys;
    return g->key;
}
