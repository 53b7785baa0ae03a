#include "trainer/backend_cpu_gemm_blocked.h"

#include <immintrin.h>

/*
 * The tile is MR x NR = 12 x 32: 24 registers of sums, 2 of the right operand, 1 of the
 * left. One step of k costs 24 multiply-adds for 2 loads and 12 broadcasts, which the
 * processor does beside them. A right panel of 384 steps takes 48 KB, and what of it is not
 * in the first-level cache comes from the second in time; a left block takes 553 KB of 1 or
 * 2 MB there.
 */
#define AVX512 __attribute__((target("avx512f,fma")))
#define INLINE static inline __attribute__((always_inline))

enum { MR = 12, NR = 32, AHEAD = 20 /* steps of k that are prefetched */ };

/* The lanes of two registers that hold columns 0..n-1 of a tile. */
struct lanes {
    __mmask16 low, high;
};

INLINE struct lanes lanes_of(int n)
{
    return (struct lanes){ (__mmask16)(n >= 16 ? 0xffff : (1u << n) - 1),
                           (__mmask16)(n >= NR   ? 0xffff
                                       : n <= 16 ? 0
                                                 : (1u << (n - 16)) - 1) };
}

/* One tile of `rows` rows (a constant where this is inlined). `a` steps by row and col. */
AVX512 INLINE void tile(const int rows, ptrdiff_t row, ptrdiff_t col, int K, const float *a,
                        const float *b, float *c, ptrdiff_t ldc, struct lanes lanes, bool add)
{
    __m512 low[MR], high[MR];
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) low[i] = high[i] = _mm512_setzero_ps();
    for (int k = 0; k < K; k++, b += NR, a += col) {
        __m512 b_low = _mm512_load_ps(b), b_high = _mm512_load_ps(b + 16);
        __builtin_prefetch(a + AHEAD * col);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            __m512 x = _mm512_set1_ps(a[i * row]);
            low[i] = _mm512_fmadd_ps(x, b_low, low[i]);
            high[i] = _mm512_fmadd_ps(x, b_high, high[i]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++, c += ldc) {
        if (add) {
            low[i] = _mm512_add_ps(low[i], _mm512_maskz_loadu_ps(lanes.low, c));
            high[i] = _mm512_add_ps(high[i], _mm512_maskz_loadu_ps(lanes.high, c + 16));
        }
        _mm512_mask_storeu_ps(c, lanes.low, low[i]);
        _mm512_mask_storeu_ps(c + 16, lanes.high, high[i]);
    }
}

#define ROWS(n)                                                                                    \
    case n:                                                                                        \
        if (left.col == 1)                                                                         \
            tile(n, left.row, 1, depth, left.at, right, c, ldc, lanes, add);                       \
        else                                                                                       \
            tile(n, 1, left.col, depth, left.at, right, c, ldc, lanes, add);                       \
        break;

AVX512 static void any_tile(int rows, int depth, struct operand left, const float *right, float *c,
                            int ldc, struct lanes lanes, bool add)
{
    switch (rows) {
        ROWS(1)
        ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8) ROWS(9) ROWS(10) ROWS(11) ROWS(12)
    }
}

AVX512 static void panel(int m, int n, int depth, struct operand left, ptrdiff_t next,
                         const float *right, float *c, int ldc, bool add)
{
    struct lanes lanes = lanes_of(n);
    bool panels = left.row == 1 && left.col == MR;
    for (; m > 0; m -= MR, left.at += next, c += (ptrdiff_t)MR * ldc) {
        for (int i = MR; i < 2 * MR && i < m; i++) {
            __builtin_prefetch(c + (ptrdiff_t)i * ldc, 1);
            __builtin_prefetch(c + (ptrdiff_t)i * ldc + 16, 1);
        }
        if (panels && m >= MR)
            tile(MR, 1, MR, depth, left.at, right, c, ldc, lanes, add);
        else
            any_tile(m < MR ? m : MR, depth, left, right, c, ldc, lanes, add);
    }
}

/* 16 registers as a 16 x 16 matrix: rows become columns. */
AVX512 INLINE void transpose(__m512 r[16])
{
    __m512 t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_castpd_ps(
            _mm512_unpacklo_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
        r[i + 1] = _mm512_castpd_ps(
            _mm512_unpackhi_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
        r[i + 2] = _mm512_castpd_ps(
            _mm512_unpacklo_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
        r[i + 3] = _mm512_castpd_ps(
            _mm512_unpackhi_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4;
         i++) { /* quarters: register 4g+i holds rows 4g.. of columns i, 4+i, 8+i, 12+i */
        __m512 even = _mm512_shuffle_f32x4(r[i], r[4 + i], 0x88),
               odd = _mm512_shuffle_f32x4(r[i], r[4 + i], 0xdd);
        __m512 even2 = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0x88);
        __m512 odd2 = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0xdd);
        t[i] = _mm512_shuffle_f32x4(even, even2, 0x88);
        t[8 + i] = _mm512_shuffle_f32x4(even, even2, 0xdd);
        t[4 + i] = _mm512_shuffle_f32x4(odd, odd2, 0x88);
        t[12 + i] = _mm512_shuffle_f32x4(odd, odd2, 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) r[i] = t[i];
}

/* Columns of b lie along memory: 16 of them at a time, 16 k at a time. */
AVX512 static void pack_columns(float *to, int K, int n, const float *b, ptrdiff_t col)
{
    for (int k = 0; k < K; k += 16) {
        int rest = K - k < 16 ? K - k : 16;
        __mmask16 mask = lanes_of(rest).low;
        for (int half = 0; half < NR; half += 16) {
            __m512 r[16];
#pragma GCC unroll 16
            for (int j = 0; j < 16; j++) __builtin_prefetch(b + (half + j) * col + k + 3 * 16);
#pragma GCC unroll 16
            for (int j = 0; j < 16; j++)
                r[j] = half + j < n ? _mm512_maskz_loadu_ps(mask, b + (half + j) * col + k)
                                    : _mm512_setzero_ps();
            transpose(r);
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++)
                if (i < rest) _mm512_store_ps(to + (k + i) * NR + half, r[i]);
        }
    }
}

AVX512 static void pack_rows(float *to, int K, int n, const float *b, ptrdiff_t row)
{
    struct lanes lanes = lanes_of(n);
    for (int k = 0; k < K; k++, to += NR, b += row) {
        __builtin_prefetch(b + AHEAD * row);
        __builtin_prefetch(b + AHEAD * row + 16);
        _mm512_store_ps(to, _mm512_maskz_loadu_ps(lanes.low, b));
        _mm512_store_ps(to + 16, _mm512_maskz_loadu_ps(lanes.high, b + 16));
    }
}

/* Rows of a lie along memory: 16 k of 12 rows at a time. */
AVX512 static void pack_lying(float *to, int K, int m, const float *a, ptrdiff_t row)
{
    for (int k = 0; k < K; k += 16) {
        int rest = K - k < 16 ? K - k : 16;
        __mmask16 mask = lanes_of(rest).low;
        __m512 r[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            r[i] = i < m ? _mm512_maskz_loadu_ps(mask, a + i * row + k) : _mm512_setzero_ps();
        transpose(r);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            if (i < rest) _mm512_mask_storeu_ps(to + (k + i) * MR, (1u << MR) - 1, r[i]);
    }
}

/* Columns of a lie along memory: a row of all panels at a time. */
AVX512 static void pack_standing(float *to, int M, int K, const float *a, ptrdiff_t col)
{
    for (int k = 0; k < K; k++, a += col, to += MR)
        for (int i = 0; i < M; i += MR) {
            __mmask16 mask = lanes_of(M - i < MR ? M - i : MR).low;
            _mm512_mask_storeu_ps(to + (ptrdiff_t)i * K, (1u << MR) - 1,
                                  _mm512_maskz_loadu_ps(mask, a + i));
        }
}

static const struct tiles tiles = { MR, NR,    384,        360,           320,       1,
                                    1,  panel, pack_lying, pack_standing, pack_rows, pack_columns };

BLOCKED_GEMM(avx512, tiles, 1, 1)

const struct gemm *gemm_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("fma") ? &avx512 : NULL;
}
