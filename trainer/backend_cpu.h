#ifndef TRAINER_BACKEND_CPU_H
#define TRAINER_BACKEND_CPU_H

#include <string.h>
#include "trainer/backend.h"

/*
 * Inside the cpu backend. One OpenMP team of be->threads runs every operation;
 * OpenBLAS is kept at one thread and called from inside the team, each member on
 * its own piece (two pools of threads would fight for the cores). Pieces are
 * fixed by the number of threads alone, so the same number gives the same bits.
 */
struct cpu {
    float *scratch; /* threads * scratch_floats */
    size_t scratch_floats;
    double *sums; /* threads * n_sums, saliency of each member */
    size_t n_sums;
};

/* At least n floats for each thread; thread i's start at the result + i * n. Contents are
 * unspecified. Call before the parallel region. */
float *cpu_scratch(struct backend *be, size_t n);

/* The same in doubles, zeroed. */
double *cpu_sums(struct backend *be, size_t n);

/* The part of 0..n that member i of `of` works on, cut at multiples of `grain`. */
struct cpu_range {
    int from, to;
};

static inline struct cpu_range cpu_share(int n, int grain, int i, int of)
{
    int64_t units = (n + grain - 1) / grain;
    int64_t from = units * i / of * grain, to = units * (i + 1) / of * grain;
    return (struct cpu_range){ (int)(from < n ? from : n), (int)(to < n ? to : n) };
}

/* e^x to about 1e-7 relative, in a form that compilers turn into vector code: x = n ln 2 + r with
 * |r| <= ln 2 / 2, a polynomial for e^r (Taylor, degree 7), n into the exponent. Beyond
 * +-87 it stays at the value there. */
static inline float cpu_exp(float x)
{
    const float round =
        12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    x = x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x;
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

/* The parts of the cpu backend, each filling in its functions of the table. */
void cpu_linear_functions(struct backend *be);
void cpu_layer_functions(struct backend *be); /* embed, rmsnorm, rope, swiglu */
void cpu_attention_functions(struct backend *be);
void cpu_step_functions(struct backend *be); /* cross-entropy, norm, adamw */

#endif
