#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/formats/gguf.h"

bool gguf_is_whole(const struct gguf_key *key)
{
    return key->type != GGUF_F32 && key->type != GGUF_F64 && key->type != GGUF_STRING;
}

static int64_t no_more_than_signed(uint64_t u) { return u > INT64_MAX ? -1 : (int64_t)u; }

/* Element i, which need not be aligned. */
#define DEFINE_AT(name, type)                                                                      \
    static type name(const struct gguf_key *key, size_t i)                                         \
    {                                                                                              \
        type x;                                                                                    \
        memcpy(&x, key->bytes + i * sizeof x, sizeof x);                                           \
        return x;                                                                                  \
    }
DEFINE_AT(u16_at, uint16_t)
DEFINE_AT(i16_at, int16_t)
DEFINE_AT(u32_at, uint32_t)
DEFINE_AT(i32_at, int32_t)
DEFINE_AT(u64_at, uint64_t)
DEFINE_AT(i64_at, int64_t)
DEFINE_AT(f32_at, float)
DEFINE_AT(f64_at, double)

int64_t gguf_int_at(const struct gguf_key *key, size_t i)
{
    switch (key->type) {
    case GGUF_U8:
    case GGUF_BOOL: return key->bytes[i];
    case GGUF_I8: return (signed char)key->bytes[i];
    case GGUF_U16: return u16_at(key, i);
    case GGUF_I16: return i16_at(key, i);
    case GGUF_U32: return u32_at(key, i);
    case GGUF_I32: return i32_at(key, i);
    case GGUF_U64: return no_more_than_signed(u64_at(key, i));
    case GGUF_I64: return i64_at(key, i);
    default: return 0;
    }
}

double gguf_double_at(const struct gguf_key *key, size_t i)
{
    if (key->type == GGUF_F32) return (double)f32_at(key, i);
    if (key->type == GGUF_F64) return f64_at(key, i);
    return (double)gguf_int_at(key, i);
}

struct gguf_text gguf_next_string(const unsigned char **at)
{
    uint64_t len;
    memcpy(&len, *at, sizeof len);
    const void *bytes = *at + sizeof len;
    *at += sizeof len + len;
    return (struct gguf_text){ bytes, (size_t)len };
}

/* ---- finding ------------------------------------------------------------------------------- */

static int compare(const struct gguf_text *a, const char *name)
{
    size_t n = strlen(name);
    int order = memcmp(a->bytes, name, a->len < n ? a->len : n);
    return order ? order : (a->len > n) - (a->len < n);
}

/* Where `name` is among n things sorted by their first member, their name. */
static const void *find(const void *things, int n, size_t size, const char *name)
{
    int low = 0, high = n;
    while (low < high) {
        int middle = (low + high) / 2;
        const char *thing = (const char *)things + (size_t)middle * size;
        int order = compare((const struct gguf_text *)(const void *)thing, name);
        if (!order) return thing;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct gguf_key *gguf_key(const struct gguf *g, const char *name)
{
    int n;
    const struct gguf_key *keys = gguf_keys(g, &n);
    return find(keys, n, sizeof *keys, name);
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name)
{
    return gguf_n_tensors(g)
               ? find(gguf_tensor_at(g, 0), gguf_n_tensors(g), sizeof(struct gguf_tensor), name)
               : NULL;
}

/* ---- members ------------------------------------------------------------------------------- */

static const struct gguf_key *scalar(const struct gguf *g, const char *name, bool whole,
                                     struct error *err)
{
    const struct gguf_key *key = err->status ? NULL : gguf_key(g, name);
    if (!key) return NULL;
    bool right = key->n == 1 && key->type != GGUF_STRING && (!whole || gguf_is_whole(key));
    if (right) return key;
    fail(err, E_INPUT, "key %s is not %s", name, whole ? "a whole number" : "a number");
    return NULL;
}

int64_t gguf_int_or(const struct gguf *g, const char *name, int64_t min, int64_t max,
                    int64_t otherwise, struct error *err)
{
    const struct gguf_key *key = scalar(g, name, true, err);
    if (!key) return otherwise;
    int64_t n = gguf_int_at(key, 0);
    if (n >= min && n <= max) return n;
    fail(err, E_INPUT, "key %s is %" PRId64 ", outside %" PRId64 "..%" PRId64, name, n, min, max);
    return otherwise;
}

int64_t gguf_int(const struct gguf *g, const char *name, int64_t min, int64_t max,
                 struct error *err)
{
    if (!err->status && !gguf_key(g, name)) fail(err, E_INPUT, "key %s is missing", name);
    return gguf_int_or(g, name, min, max, min, err);
}

double gguf_double_or(const struct gguf *g, const char *name, double min, double max,
                      double otherwise, struct error *err)
{
    const struct gguf_key *key = scalar(g, name, false, err);
    if (!key) return otherwise;
    double x = gguf_double_at(key, 0);
    if (x >= min && x <= max) return x;
    fail(err, E_INPUT, "key %s is %g, outside %g..%g", name, x, min, max);
    return otherwise;
}

void gguf_string(const struct gguf *g, const char *name, char *out, size_t room, struct error *err)
{
    const struct gguf_key *key = err->status ? NULL : gguf_key(g, name);
    *out = '\0';
    if (!key) return;
    const unsigned char *at = key->bytes;
    if (key->type != GGUF_STRING || key->is_array) {
        fail(err, E_INPUT, "key %s is not a string", name);
        return;
    }
    struct gguf_text text = gguf_next_string(&at);
    if (text.len >= room) {
        fail(err, E_INPUT, "key %s has %zu bytes, more than %zu", name, text.len, room - 1);
        return;
    }
    memcpy(out, text.bytes, text.len);
    out[text.len] = '\0';
}
