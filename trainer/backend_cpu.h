#ifndef TRAINER_BACKEND_CPU_H
#define TRAINER_BACKEND_CPU_H

#include <string.h>
#include "trainer/backend.h"
#include "trainer/backend_cpu_bf16.h"
#include "trainer/backend_cpu_gemm.h"

/*
 * Inside the cpu backend. One OpenMP team of be->threads runs every operation; a
 * matrix product runs on one thread, each member of the team on pieces of its own
 * (OpenBLAS is kept at one thread: two pools would fight for the cores).
 *
 * What is added up in which order depends on the sizes alone, never on the number of
 * threads or on who was faster: results have the same bits with any number of threads.
 * Work whose cut shows in its bits is cut by size; members take the next piece when they are
 * free; sums over rows are kept per part of the rows and added in the order of the parts.
 */
enum { CPU_PARTS = 16, CPU_ROWS = 16 }; /* parts of a sum; rows taken at a time by the rest */

struct cpu {
    const struct gemm *gemm;
    const struct brief_gemm *brief; /* NULL: float32 throughout */
    float *scratch;
    size_t scratch_floats;
    double *sums;
    size_t n_sums;
};

static inline const struct gemm *cpu_gemm(const struct backend *be)
{
    return ((const struct cpu *)be->state)->gemm;
}

/* At least n floats for each thread, n a multiple of 16; thread i's start at the result + i * n, on
 * a 64-byte boundary. Contents are unspecified. Call before the parallel region; the next call
 * may move it. */
float *cpu_scratch(struct backend *be, size_t n);

/* n doubles, zeroed. */
double *cpu_sums(struct backend *be, size_t n);

/* Part i of CPU_PARTS of 0..n. */
struct cpu_range {
    int from, to;
};

static inline struct cpu_range cpu_part(int n, int i)
{
    return (struct cpu_range){ (int)((int64_t)n * i / CPU_PARTS),
                               (int)((int64_t)n * (i + 1) / CPU_PARTS) };
}

/* e^x to about 1e-7 relative, in a form that compilers turn into vector code: x = n ln 2 + r with
 * |r| <= ln 2 / 2, a polynomial for e^r (Taylor, degree 7), n into the exponent. Beyond
 * +-87 it stays at the value there. */
static inline float cpu_exp(float x)
{
    const float round =
        12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    x = x < -87.0f ? -87.0f : x; /* in this order a NaN stays one */
    x = x > 87.0f ? 87.0f : x;
    float shifted = x * 1.44269504f + round, n = shifted - round;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + (127u << 23); /* the integer's low bits, biased, as an exponent */
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* p = exp(scale * (p - most)), zero from `seen` to `keys`; returns the sum. Elements up to the next
 * multiple of 16 above `seen` are written. */
float cpu_softmax_row(float *restrict p, int seen, int keys, float scale, float *most_out);

/* The parts of the cpu backend, each filling in its functions of the table. */
void cpu_linear_functions(struct backend *be);
void cpu_layer_functions(struct backend *be); /* embed, rmsnorm, rope, swiglu */
void cpu_attention_functions(struct backend *be);
void cpu_spans_functions(struct backend *be);
void cpu_step_functions(struct backend *be); /* cross-entropy, norm, adamw */
void cpu_bf16_functions(struct backend *be); /* linear maps in place of cpu_linear_functions */

#endif
