#ifndef TRAINER_BACKEND_HOST_H
#define TRAINER_BACKEND_HOST_H

#include "trainer/backend.h"

/*
 * What the backends in ordinary memory (ref, cpu) share: blocks are plain arrays
 * and a view is a pointer. Only trainer/backend_*.c looks inside blocks; how much
 * memory there is, anybody may ask.
 *
 * Large blocks are mapped in huge pages where the system has them, and touched
 * at once: memory that is not there is a refusal now, not a kill later.
 */
struct block {
    void *bytes;
    size_t n_bytes;
    bool mapped;
    uint16_t *brief; /* NULL, or room for n_brief elements in bfloat16 (backend_cpu_bf16.h): a copy */
    size_t n_brief;  /* of brief_n from brief_at on, to be made again when the numbers have changed */
    size_t brief_at, brief_n;
    bool stale;
};

static inline float *host_row(struct view v, int r)
{
    return (float *)v.block->bytes + v.at + (size_t)r * (size_t)v.ld;
}

static inline const int32_t *host_ids(struct view v)
{
    return (const int32_t *)v.block->bytes + v.at;
}

static inline double *host_sums(struct block *block) { return block->bytes; }

/* What adamw multiplies the gradients by; NAN: nothing may change. */
double host_grad_scale(const struct adamw *step);

/* Fills in the memory functions of the table, and `sum`. */
void host_memory_functions(struct backend *be);

/* The distill of the table, rows shared among the backend's threads. */
void host_distill(struct backend *be, struct view losses, struct view logits, struct view teacher,
                  struct view targets, struct distill d, double scale);

/* The z_cross_entropy of the table, in double. */
void host_z_cross_entropy(struct backend *be, struct view losses, struct view logits,
                          struct view targets, double z, double scale);

/* Bytes that can be had now: the smaller of the machine's and the control group's. */
size_t host_bytes_available(void);

#endif
