#include "trainer/backend_cpu_gemm.h"

/* Not an x86 processor. */
const struct gemm *gemm_avx2(void) { return NULL; }
const struct gemm *gemm_avx512(void) { return NULL; }
const struct gemm *gemm_amx(void) { return NULL; }
const struct gemm *gemm_amx_x3(void) { return NULL; }
