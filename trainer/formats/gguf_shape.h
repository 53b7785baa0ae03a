#ifndef TRAINER_FORMATS_GGUF_SHAPE_H
#define TRAINER_FORMATS_GGUF_SHAPE_H

#include "search/shape.h"
#include "trainer/formats/gguf.h"

/*
 * The shape that a GGUF file describes, and what its tensors are called.
 *
 * Architectures llama (one width for all layers), qwen2 (the same, with biases on q, k, v)
 * and deci (arrays over the layers). Widths may be numbers or arrays in any of them. The
 * head is tied when there is no output.weight. llama3's rope scaling is stored as a tensor
 * of divisors, rope_freqs.weight, from which the usual settings are recognised; others need
 * keys beside it, of which llama.cpp knows the first and uses none:
 *
 *     <arch>.rope.scaling.original_context_length
 *     <arch>.rope.llama3.factor .low_freq_factor .high_freq_factor
 *
 * Rows of q and k are stored pairwise in llama and deci: row 2 i + j of a head is our row
 * j head_dim / 2 + i. qwen2 keeps ours.
 */
enum status gguf_shape(const struct gguf *g, struct shape *shape, int *max_position,
                       struct error *err);

/* Are the rows of q and k stored pairwise? */
bool gguf_is_paired(const struct gguf *g);

/* The name in GGUF of a tensor by its Hugging Face name; false when it has none. */
enum { GGUF_NAME_ROOM = 64 };
bool gguf_name_of(const char *hf_name, char out[GGUF_NAME_ROOM]);

/* What llama3's scaling divides the frequency i of head_dim / 2 by. */
double rope_divisor(const struct rope_scaling *scaling, double theta, int head_dim, int i);

#endif
