#ifndef TRAINER_FORMATS_SAFETENSORS_H
#define TRAINER_FORMATS_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "search/base/error.h"
#include "search/base/hash.h"

/*
 * safetensors: named tensors in one file, a JSON header in front.
 *
 *     u64 n, little-endian | n bytes of JSON | data
 *     {"__metadata__": {"format": "pt"},
 *      "name": {"dtype": "F32", "shape": [97, 48], "data_offsets": [begin, end]}, ...}
 *
 * The reader maps the file and trusts nothing: header length against file size,
 * UTF-8, duplicate names, dtype, rank, overflow of shape times width, offsets
 * without holes or overlaps that end where the file ends. Every refusal is
 * E_INPUT and names the file, the tensor and what is wrong with it.
 *
 * Source of the format: the safetensors README and its reference reader.
 */
enum tensor_type {
    TENSOR_BOOL,
    TENSOR_U8,
    TENSOR_I8,
    TENSOR_I16,
    TENSOR_U16,
    TENSOR_F16,
    TENSOR_BF16,
    TENSOR_I32,
    TENSOR_U32,
    TENSOR_F32,
    TENSOR_F64,
    TENSOR_I64,
    TENSOR_U64,
    TENSOR_TYPES
};

enum { TENSOR_MAX_RANK = 8, SAFETENSORS_MAX_TENSORS = 65536, SAFETENSORS_MAX_HEADER = 16 << 20 };

/* One tensor: (dim[0], ..., dim[rank-1]), row-major, dense. A rank of 0 is a scalar. */
struct tensor {
    const char *name;
    enum tensor_type type;
    int rank;
    int64_t dim[TENSOR_MAX_RANK];
    const unsigned char *bytes; /* not aligned to anything */
    size_t n_bytes;
};

const char *tensor_type_name(enum tensor_type type); /* "F32" */
size_t tensor_type_bytes(enum tensor_type type);
int64_t tensor_count(const struct tensor *t); /* elements */

/* Into `out`, which holds tensor_count floats. E_INPUT for types other than F32, F16, BF16, F64. */
enum status tensor_floats(const struct tensor *t, float *out, struct error *err);

/* E_INPUT, naming the tensor and both shapes, unless it is (rows, cols), or (cols) when rows is 0.
 */
enum status tensor_expect(const struct tensor *t, int64_t rows, int64_t cols, struct error *err);

/* ---- reading ---- */

struct safetensors; /* owns the mapping; tensors live as long as it */

enum status safetensors_open(struct safetensors **out, const char *path, struct error *err);
/* The same from memory the caller keeps; `name` stands in messages. */
enum status safetensors_parse(struct safetensors **out, const void *bytes, size_t len,
                              const char *name, struct error *err);
void safetensors_close(struct safetensors *st); /* NULL is fine */

int safetensors_count(const struct safetensors *st);
const struct tensor *safetensors_at(const struct safetensors *st, int i); /* by name, ascending */
const struct tensor *safetensors_find(const struct safetensors *st, const char *name); /* or NULL */
/* E_MISSING with a sentence that names it. */
const struct tensor *safetensors_need(const struct safetensors *st, const char *name,
                                      struct error *err);
const char *safetensors_metadata(const struct safetensors *st, const char *key); /* or NULL */

/* ---- writing ---- */

/* Gives the bytes of tensor t (n_bytes of them), good until the next call; NULL ends the writing
 * with E_MEMORY. */
struct tensor_source {
    void *user;
    const void *(*bytes)(void *user, const struct tensor *t);
};

/* Writes and fsyncs the file: tensors by width of their type, descending, then by name, as the
 * reference writer orders them; the data starts at a multiple of 8. `bytes` and `n_bytes` of the
 * tensors need not be set; when `source` is NULL `bytes` must be. `metadata` is a NULL-terminated
 * list of keys and values, or NULL; HF readers want "format", "pt". */
enum status safetensors_write(const char *path, const struct tensor *tensors, int n,
                              const char *const *metadata, const struct tensor_source *source,
                              char sha256[HASH_HEX], struct error *err);

#endif
