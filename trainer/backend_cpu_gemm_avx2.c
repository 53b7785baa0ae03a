#include "trainer/backend_cpu_gemm.h"

#include <immintrin.h>

/*
 * As backend_cpu_gemm_avx512.c with half the vector and half the registers: the tile is
 * MR x NR = 6 x 16, 12 registers of sums, 2 of the right operand, 1 of the left. A panel
 * of KC x NR takes half of a 32 KB first-level cache, KC x NC of them most of 512 KB.
 */
#define AVX2   __attribute__((target("avx2,fma")))
#define INLINE static inline __attribute__((always_inline))

enum { MR = 6, NR = 16, KC = 256, NC = 320 };
enum { REPACK = 4 * NR }; /* columns from which repacking the left operand pays */

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
    case n: tile(n, a.row, a.col, K, a.at, b, c, ldc, lanes, add); break;

/* Rows of the left operand where they lie, or repacked (row 1, col MR). */
AVX2 static void any_tile(int rows, int K, struct operand a, const float *b, float *c, int ldc,
                          struct lanes lanes, bool add)
{
    if (a.row == 1 && a.col == MR && rows == MR) {
        tile(MR, 1, MR, K, a.at, b, c, ldc, lanes, add);
        return;
    }
    switch (rows) {
        ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6)
    }
}

/* MR rows of the left operand side by side for each k: one stream instead of MR, or of one line
 * for every k. */
AVX2 static struct operand repack(float *to, int K, struct operand a)
{
    if (a.row == 1) {
        for (int k = 0; k < K; k++)
            for (int i = 0; i < MR; i++) to[k * MR + i] = a.at[k * a.col + i];
    } else {
        for (int i = 0; i < MR; i++)
            for (int k = 0; k < K; k++) to[k * MR + i] = a.at[i * a.row + k];
    }
    return (struct operand){ to, 1, MR };
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

static void pack(float *to, int K, int N, struct operand b)
{
    for (int j = 0; j < N; j += NR) {
        float *panel = to + (ptrdiff_t)j * K;
        int n = N - j < NR ? N - j : NR;
        if (b.col == 1)
            pack_rows(panel, K, n, b.at + j, b.row);
        else
            pack_columns(panel, K, n, b.at + j * b.col, b.col);
    }
}

AVX2 static void packed_product(int m, int n, int k, struct operand a, const float *packed, int K,
                                int N, float *c, int ldc, bool add)
{
    float left[MR * KC];
    bool often = n > REPACK && k <= KC;
    (void)N;
    for (int i = 0; i < m; i += MR) {
        struct operand rows = { a.at + i * a.row, a.row, a.col };
        if (often && m - i >= MR) rows = repack(left, k, rows);
        for (int j = 0; j < n; j += NR)
            any_tile(m - i < MR ? m - i : MR, k, rows, packed + (ptrdiff_t)j * K,
                     c + (ptrdiff_t)i * ldc + j, ldc, lanes_of(n - j), add);
    }
}

static void product(int M, int N, int K, struct operand a, struct operand b, float *c, int ldc,
                    bool add, float *scratch)
{
    for (int j = 0; j < N; j += NC) {
        int n = N - j < NC ? N - j : NC;
        for (int k = 0; k < K; k += KC) {
            int depth = K - k < KC ? K - k : KC;
            struct operand left = { a.at + k * a.col, a.row, a.col };
            struct operand right = { b.at + k * b.row + j * b.col, b.row, b.col };
            pack(scratch, depth, n, right);
            packed_product(M, n, depth, left, scratch, depth, n, c + j, ldc, add || k);
        }
    }
}

const struct gemm *gemm_avx2(void)
{
    static const struct gemm avx2 = { "avx2", product, pack, packed_product };
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &avx2 : NULL;
}
