#ifndef TRAINER_CUDA_GEMM_H
#define TRAINER_CUDA_GEMM_H

#include "trainer/cuda/device.h"

/*
 * One product through cuBLASLt: D (M, N) = op(A) op(B) [+ C], row-major, op a transpose when ta or
 * tb is set. Operands are bf16 (float32 in cuda-f32), D is the same unless `d_float`; sums are
 * float32. C, when given, has D's type and may be D. With batch > 1 the operands of product i lie i
 * strides on.
 */
struct gemm {
    int M, N, K, ta, tb; /* D (M, N) = op(A) op(B) */
    const void *a, *b, *c;
    void *d;
    int lda, ldb, ldc, ldd;
    int d_float; /* D is float32 though the operands are bf16 */
    int batch;
    int64_t stride_a, stride_b, stride_d;
};

void gemm_run(struct device *d, const struct gemm *g);

#endif
