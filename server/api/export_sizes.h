#ifndef SERVER_API_EXPORT_SIZES_H
#define SERVER_API_EXPORT_SIZES_H

#include "search/shape.h"

/*
 * /v1/exports speaks of targets: a format and how its numbers are stored. What they are is said by
 * trainer/export/export.h; here is how large they come out, by counting.
 */
enum export_format {
    EXPORT_HF,
    EXPORT_HF_PADDED,
    EXPORT_DECILM,
    EXPORT_GGUF,
    EXPORT_SAFETENSORS,
    EXPORT_SHAPE,
};

enum export_dtype { DTYPE_FLOAT32, DTYPE_FLOAT16, DTYPE_BFLOAT16, DTYPE_Q8_0, DTYPE_Q4_0 };

extern const char *const export_formats[]; /* NULL-terminated, in the order above */
extern const char *const export_dtypes[];

/* The shape as the format stores it: padded where it asks for that. */
void export_stored(const struct shape *shape, enum export_format format, struct shape *out);

/* Bytes of the tensors, without headers, tokenizer and texts. In GGUF vectors stay float32, rows
 * that are no multiple of a quantized block are float16, and the head keeps 8 bits. */
int64_t export_bytes(const struct shape *stored, enum export_format format,
                     enum export_dtype dtype);

#endif
