#include <math.h>

#include "trainer/backend_cpu.h"
#include "trainer/evaluate/score.h"

/* Sums of exponentials are kept in float for a stretch and in double beyond. */
enum { STRETCH = 512 };

static float largest(const float *restrict x, int n)
{
    float most = x[0];
#pragma omp simd reduction(max : most)
    for (int i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

static float sum_of(const float *restrict x, int n, float most)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++) sum += cpu_exp(x[i] - most);
    return sum;
}

struct eval_row eval_row_of(const float *logits, int n)
{
    float most = largest(logits, n);
    double sum = 0;
    int best = 0;
    for (int at = 0; at < n; at += STRETCH)
        sum += sum_of(logits + at, n - at < STRETCH ? n - at : STRETCH, most);
    while (best < n - 1 && !(logits[best] >= most)) best++;
    return (struct eval_row){ most + log(sum), best };
}
