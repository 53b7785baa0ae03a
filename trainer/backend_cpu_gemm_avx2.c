#include "trainer/backend_cpu_gemm_blocked.h"

#include <immintrin.h>

/*
 * The tile is MR x NR = 6 x 16: 12 registers of sums, 2 of the right operand, 1 of the
 * left. A right panel of 320 steps takes 20 of the 32 KB of a first-level cache, a left
 * block 215 of the 512 KB of a second-level one.
 */
#define AVX2   __attribute__((target("avx2,fma")))
#define INLINE static inline __attribute__((always_inline))

enum { MR = 6, NR = 16 };

/* The lanes of two registers that hold columns 0..n-1 of a tile. */
struct lanes {
    __m256i low, high;
    bool all;
};

AVX2 INLINE __m256i first_lanes(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

AVX2 INLINE struct lanes lanes_of(int n)
{
    return (struct lanes){ first_lanes(n), first_lanes(n - 8), n >= NR };
}

AVX2 INLINE __m256 load(const float *from, __m256i lanes, bool all)
{
    return all ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, lanes);
}

AVX2 INLINE void store(float *to, __m256i lanes, bool all, __m256 x)
{
    if (all)
        _mm256_storeu_ps(to, x);
    else
        _mm256_maskstore_ps(to, lanes, x);
}

/* One tile of `rows` rows (a constant where this is inlined). `a` steps by row and col. */
AVX2 INLINE void tile(const int rows, ptrdiff_t row, ptrdiff_t col, int K, const float *a,
                      const float *b, float *c, ptrdiff_t ldc, struct lanes lanes, bool add)
{
    __m256 low[MR], high[MR];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) low[i] = high[i] = _mm256_setzero_ps();
#pragma GCC unroll 4
    for (int k = 0; k < K; k++, b += NR, a += col) {
        __m256 b_low = _mm256_load_ps(b), b_high = _mm256_load_ps(b + 8);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m256 x = _mm256_broadcast_ss(a + i * row);
            low[i] = _mm256_fmadd_ps(x, b_low, low[i]);
            high[i] = _mm256_fmadd_ps(x, b_high, high[i]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++, c += ldc) {
        if (add) {
            low[i] = _mm256_add_ps(low[i], load(c, lanes.low, lanes.all));
            high[i] = _mm256_add_ps(high[i], load(c + 8, lanes.high, lanes.all));
        }
        store(c, lanes.low, lanes.all, low[i]);
        store(c + 8, lanes.high, lanes.all, high[i]);
    }
}

#define ROWS(n)                                                                                    \
    case n:                                                                                        \
        if (left.col == 1)                                                                         \
            tile(n, left.row, 1, depth, left.at, right, c, ldc, lanes, add);                       \
        else                                                                                       \
            tile(n, 1, left.col, depth, left.at, right, c, ldc, lanes, add);                       \
        break;

AVX2 static void any_tile(int rows, int depth, struct operand left, const float *right, float *c,
                          int ldc, struct lanes lanes, bool add)
{
    switch (rows) {
        ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6)
    }
}

AVX2 static void panel(int m, int n, int depth, struct operand left, ptrdiff_t next,
                       const float *right, float *c, int ldc, bool add)
{
    struct lanes lanes = lanes_of(n);
    bool panels = left.row == 1 && left.col == MR;
    for (; m > 0; m -= MR, left.at += next, c += (ptrdiff_t)MR * ldc) {
        for (int i = MR; i < 2 * MR && i < m; i++) __builtin_prefetch(c + (ptrdiff_t)i * ldc, 1);
        if (panels && m >= MR)
            tile(MR, 1, MR, depth, left.at, right, c, ldc, lanes, add);
        else
            any_tile(m < MR ? m : MR, depth, left, right, c, ldc, lanes, add);
    }
}

/* 8 registers as an 8 x 8 matrix: rows become columns. */
AVX2 INLINE void transpose(__m256 r[8])
{
    __m256 t[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[4 + i], 0x20);
        t[4 + i] = _mm256_permute2f128_ps(r[i], r[4 + i], 0x31);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) r[i] = t[i];
}

/* Columns of b lie along memory: 8 of them at a time, 8 k at a time. */
AVX2 static void pack_columns(float *to, int K, int n, const float *b, ptrdiff_t col)
{
    for (int half = 0; half < NR; half += 8)
        for (int k = 0; k < K; k += 8) {
            int rest = K - k < 8 ? K - k : 8;
            __m256i lanes = first_lanes(rest);
            __m256 r[8];
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++)
                r[j] = half + j < n ? load(b + (half + j) * col + k, lanes, rest == 8)
                                    : _mm256_setzero_ps();
            transpose(r);
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++)
                if (i < rest) _mm256_store_ps(to + (k + i) * NR + half, r[i]);
        }
}

AVX2 static void pack_rows(float *to, int K, int n, const float *b, ptrdiff_t row)
{
    struct lanes lanes = lanes_of(n);
    for (int k = 0; k < K; k++, to += NR, b += row) {
        _mm256_store_ps(to, load(b, lanes.low, lanes.all));
        _mm256_store_ps(to + 8, load(b + 8, lanes.high, lanes.all));
    }
}

AVX2 INLINE void store_six(float *to, __m256 x)
{
    _mm_storeu_ps(to, _mm256_castps256_ps128(x));
    _mm_storel_pi((__m64 *)(to + 4), _mm256_extractf128_ps(x, 1));
}

/* Rows of a lie along memory: 8 k of 6 rows at a time. But for the last, a store's two lanes too
 * many are where the next store goes. */
AVX2 static void pack_lying(float *to, int K, int m, const float *a, ptrdiff_t row)
{
    for (int k = 0; k < K; k += 8) {
        int rest = K - k < 8 ? K - k : 8;
        __m256i lanes = first_lanes(rest);
        __m256 r[8];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            r[i] = i < m ? load(a + i * row + k, lanes, rest == 8) : _mm256_setzero_ps();
        transpose(r);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            if (k + i + 1 < K)
                _mm256_storeu_ps(to + (k + i) * MR, r[i]);
            else if (k + i < K)
                store_six(to + (k + i) * MR, r[i]);
    }
}

/* Columns of a lie along memory: a row of all panels at a time. */
AVX2 static void pack_standing(float *to, int M, int K, const float *a, ptrdiff_t col)
{
    __m256i six = first_lanes(MR), last = first_lanes(M % MR ? M % MR : MR);
    for (int k = 0; k < K; k++, a += col, to += MR) {
        int i = 0;
        for (; i + 8 <= M; i += MR) store_six(to + (ptrdiff_t)i * K, _mm256_loadu_ps(a + i));
        for (; i < M; i += MR)
            store_six(to + (ptrdiff_t)i * K, _mm256_maskload_ps(a + i, M - i < MR ? last : six));
    }
}

static const struct tiles tiles = { MR, NR,    320,        168,           320,       1,
                                    1,  panel, pack_lying, pack_standing, pack_rows, pack_columns };

BLOCKED_GEMM(avx2, tiles, 1, 1)

const struct gemm *gemm_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &avx2 : NULL;
}
