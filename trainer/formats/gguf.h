#ifndef TRAINER_FORMATS_GGUF_H
#define TRAINER_FORMATS_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "search/base/error.h"
#include "trainer/formats/quant.h"

/*
 * GGUF, version 3, little-endian: keys with typed values and named tensors.
 *
 *     "GGUF" | u32 3 | u64 tensors | u64 keys
 *     key:    string, u32 type, value         string: u64 length, bytes
 *     tensor: string, u32 dims, u64 dim[dims] (innermost first), u32 ggml type, u64 offset
 *     data, from the next multiple of general.alignment (32); offsets count from here
 *
 * The reader maps the file and trusts nothing. Counts and lengths have the ceilings
 * below; names are unique; tensors are of known types, aligned, inside the file and
 * apart from each other. Everything is checked when the file is opened, so that
 * what the functions below return needs no further care. Strings are not
 * NUL-terminated. Refusals are E_INPUT and name the key or tensor.
 */
enum {
    GGUF_MAX_KEYS = 4096,
    GGUF_MAX_TENSORS = 65536,
    GGUF_MAX_NAME = 256,       /* bytes of a key or of a tensor's name */
    GGUF_MAX_STRING = 4 << 20, /* bytes of a value; chat templates are long */
    GGUF_MAX_ARRAY = 8 << 20,  /* elements */
    GGUF_MAX_DIMS = 4,
    GGUF_MAX_ALIGNMENT = 1 << 20,
};

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPES
};

struct gguf_text {
    const char *bytes;
    size_t len;
};

/* A value. Scalars are arrays of one element. */
struct gguf_key {
    struct gguf_text name;
    enum gguf_type type; /* of the elements; never GGUF_ARRAY */
    bool is_array;
    size_t n;
    const unsigned char *bytes; /* the first element */
};

struct gguf_tensor {
    struct gguf_text name;
    const struct quant_type *type;
    int n_dims;
    int64_t dim[GGUF_MAX_DIMS]; /* innermost first; those from n_dims on are 1 */
    const unsigned char *bytes;
    size_t n_bytes;
};

struct gguf; /* owns the mapping */

enum status gguf_open(struct gguf **out, const char *path, struct error *err);
/* The same from memory that the caller keeps. */
enum status gguf_parse(struct gguf **out, const void *bytes, size_t len, struct error *err);
void gguf_close(struct gguf *g); /* NULL is fine */

int gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, int i); /* by name, ascending */
const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name); /* or NULL */
const struct gguf_key *gguf_key(const struct gguf *g, const char *name);       /* or NULL */
const struct gguf_key *gguf_keys(const struct gguf *g, int *n); /* by name, ascending */

/* Element i of a key (i < n) as a number; 0 for strings. Whole numbers of 64 bits above 2^63 - 1
 * read as -1. */
int64_t gguf_int_at(const struct gguf_key *key, size_t i);
double gguf_double_at(const struct gguf_key *key, size_t i);
bool gguf_is_whole(const struct gguf_key *key); /* whole numbers or booleans */

/* Walks the strings of a key: *at starts as key->bytes. */
struct gguf_text gguf_next_string(const unsigned char **at);

/* ---- members in a straight line, as in field.h: the first failure stays in `err` ---- */

int64_t gguf_int_or(const struct gguf *g, const char *name, int64_t min, int64_t max,
                    int64_t otherwise, struct error *err);
int64_t gguf_int(const struct gguf *g, const char *name, int64_t min, int64_t max,
                 struct error *err);
double gguf_double_or(const struct gguf *g, const char *name, double min, double max,
                      double otherwise, struct error *err);
/* "" when missing; E_INPUT when it is no string or longer than room - 1. */
void gguf_string(const struct gguf *g, const char *name, char *out, size_t room, struct error *err);

#endif
