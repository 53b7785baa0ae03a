#ifndef TRAINER_FORMATS_GGUF_WRITE_H
#define TRAINER_FORMATS_GGUF_WRITE_H

#include "search/base/buf.h"
#include "trainer/formats/file.h"
#include "trainer/formats/gguf.h"

/*
 * Writes a GGUF file, version 3: keys, then tensors by name and size, then the
 * tensors' bytes as the caller hands them over, one at a time and in order.
 *
 *     gguf_out_init(&out);
 *     gguf_put_string(&out, "general.architecture", "llama");
 *     ...
 *     gguf_put_tensor(&out, "token_embd.weight", quant_type_named("F16"), 576, 49152);
 *     gguf_out_start(&out, path, err);
 *     for each tensor: gguf_out_data(&out, bytes, n)   exactly its bytes, in pieces or whole
 *     gguf_out_finish(&out, sha256, err);              also after a failure: releases all
 *
 * Every piece is padded to the alignment of 32 when its tensor is complete. The
 * first failure is kept; gguf_out_finish reports it. Keys and tensors are written
 * in the order in which they were put; putting one twice is the caller's bug.
 */
enum { GGUF_OUT_MAX_HEAD = 256 << 20 };

struct gguf_out {
    struct buf keys, infos;
    uint64_t n_keys, n_tensors;
    uint64_t offset;      /* of the next tensor put */
    uint64_t *end;        /* of each tensor's bytes, from the start of the data */
    uint64_t at, current; /* bytes of data written; the tensor being written */
    struct file_out *file;
};

void gguf_out_init(struct gguf_out *out);

void gguf_put_string(struct gguf_out *out, const char *key, const char *text);
void gguf_put_u32(struct gguf_out *out, const char *key, uint32_t value);
void gguf_put_f32(struct gguf_out *out, const char *key, double value);
void gguf_put_bool(struct gguf_out *out, const char *key, bool value);
void gguf_put_i32s(struct gguf_out *out, const char *key, const int32_t *values, size_t n);
void gguf_put_f32s(struct gguf_out *out, const char *key, const float *values, size_t n);

/* An array of strings: its head, then n times gguf_put_item. */
void gguf_put_strings(struct gguf_out *out, const char *key, size_t n);
void gguf_put_item(struct gguf_out *out, const char *text, size_t len);

/* A matrix (rows, cols) row-major, or a vector of cols when rows is 0. */
void gguf_put_tensor(struct gguf_out *out, const char *name, const struct quant_type *type,
                     int cols, int rows);

enum status gguf_out_start(struct gguf_out *out, const char *path, struct error *err);
void gguf_out_data(struct gguf_out *out, const void *bytes, size_t n);
enum status gguf_out_finish(struct gguf_out *out, char sha256[HASH_HEX], struct error *err);

#endif
