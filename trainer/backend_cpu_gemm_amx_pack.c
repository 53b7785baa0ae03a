#include "trainer/backend_cpu_gemm_amx.h"

#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

enum { MR = AMX_TILE, REGISTER = AMX_REGISTER, KB = AMX_DEPTH };

/* Two vectors of floats as pairs of bfloat16, `even` in the lower half of each lane. */
struct halves {
    __m512i hi, lo;
};

AMX INLINE __m512i rounded(__m512 x)
{
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x));
}

AMX INLINE struct halves split_pairs(__m512 even, __m512 odd)
{
    __m512i e = rounded(even), o = _mm512_slli_epi32(rounded(odd), 16);
    __m512 e_rest = _mm512_sub_ps(even, _mm512_castsi512_ps(_mm512_slli_epi32(e, 16)));
    __m512 o_rest = _mm512_sub_ps(odd, _mm512_castsi512_ps(o));
    return (
        struct halves){ _mm512_or_si512(e, o),
                        _mm512_or_si512(rounded(e_rest), _mm512_slli_epi32(rounded(o_rest), 16)) };
}

/* 32 floats that follow one another. */
AMX INLINE struct halves split_line(__m512 first, __m512 second)
{
    __m256i a = (__m256i)_mm512_cvtneps_pbh(first), b = (__m256i)_mm512_cvtneps_pbh(second);
    __m512i wide_a = _mm512_slli_epi32(_mm512_cvtepu16_epi32(a), 16);
    __m512i wide_b = _mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16);
    __m256i c = (__m256i)_mm512_cvtneps_pbh(_mm512_sub_ps(first, _mm512_castsi512_ps(wide_a)));
    __m256i d = (__m256i)_mm512_cvtneps_pbh(_mm512_sub_ps(second, _mm512_castsi512_ps(wide_b)));
    return (struct halves){ _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1),
                            _mm512_inserti64x4(_mm512_castsi256_si512(c), d, 1) };
}

/* 16 registers as a 16 x 16 matrix of 32-bit elements: rows become columns. */
AMX INLINE void transpose(__m512i r[16])
{
    __m512i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* register 4g+i: rows 4g.. of columns i, 4+i, 8+i, 12+i */
        __m512i even = _mm512_shuffle_i32x4(r[i], r[4 + i], 0x88);
        __m512i odd = _mm512_shuffle_i32x4(r[i], r[4 + i], 0xdd);
        __m512i even2 = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0x88);
        __m512i odd2 = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0xdd);
        t[i] = _mm512_shuffle_i32x4(even, even2, 0x88);
        t[8 + i] = _mm512_shuffle_i32x4(even, even2, 0xdd);
        t[4 + i] = _mm512_shuffle_i32x4(odd, odd2, 0x88);
        t[12 + i] = _mm512_shuffle_i32x4(odd, odd2, 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) r[i] = t[i];
}

INLINE __mmask16 first(int n) { return (__mmask16)(n >= 16 ? 0xffff : n <= 0 ? 0 : (1u << n) - 1); }

AMX INLINE void store(uint16_t *to, const __m512i r[16])
{
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) _mm512_store_si512(to + 32 * i, r[i]);
}

/* One register of hi, and one of lo where there are three products. */
AMX INLINE void put(uint16_t *to, __m512i hi[16], __m512i lo[16], bool turn, bool three)
{
    if (turn) transpose(hi);
    store(to, hi);
    if (!three) return;
    if (turn) transpose(lo);
    store(to + 2 * REGISTER, lo);
}

/* 16 lines, of which `lines` are there, of up to KB elements along memory, `stride` apart. */
AMX INLINE void pack_along(uint16_t *to, const float *from, ptrdiff_t stride, int lines, int depth,
                           bool turn, bool three)
{
    __m512i hi[16], lo[16];
    __mmask16 low = first(depth), high = first(depth - 16);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++, from += stride) {
        __builtin_prefetch(from + 2 * KB);
        __builtin_prefetch(from + 2 * KB + 16);
        bool there = i < lines;
        struct halves x = split_line(_mm512_maskz_loadu_ps(there ? low : 0, from),
                                     _mm512_maskz_loadu_ps(there ? high : 0, from + 16));
        hi[i] = x.hi, lo[i] = x.lo;
    }
    put(to, hi, lo, turn, three);
}

/* 16 lines beside one another; their elements are `stride` apart. */
AMX INLINE void pack_across(uint16_t *to, const float *from, ptrdiff_t stride, int lines, int depth,
                            bool turn, bool three)
{
    __m512i hi[16], lo[16];
    __mmask16 mask = first(lines);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        const float *even = from + 2 * i * stride, *odd = even + stride;
        __builtin_prefetch(even + KB * stride);
        __builtin_prefetch(odd + KB * stride);
        struct halves x = split_pairs(_mm512_maskz_loadu_ps(2 * i < depth ? mask : 0, even),
                                      _mm512_maskz_loadu_ps(2 * i + 1 < depth ? mask : 0, odd));
        hi[i] = x.hi, lo[i] = x.lo;
    }
    put(to, hi, lo, turn, three);
}

/* A panel of n lines, which lie along memory or beside one another. */
AMX INLINE void panel_along(uint16_t *to, int K, int n, const float *from, ptrdiff_t stride,
                            bool turn, bool three)
{
    for (int k = 0; k < K; k += KB, to += amx_block(three))
        for (int half = 0; half < 2; half++)
            pack_along(to + half * REGISTER, from + 16 * half * stride + k, stride, n - 16 * half,
                       K - k, turn, three);
}

/* Returns the end of the panel. */
AMX INLINE uint16_t *panel_across(uint16_t *to, int K, int n, const float *from, ptrdiff_t stride,
                                  bool turn, bool three)
{
    for (int k = 0; k < K; k += KB, to += amx_block(three))
        for (int half = 0; half < 2; half++)
            pack_across(to + half * REGISTER, from + 16 * half + k * stride, stride, n - 16 * half,
                        K - k, turn, three);
    return to;
}

/* Rows of the left operand lie in registers as they are, pairs of k of the right one. */
#define KIND(count)                                                                                \
    AMX void amx_lying_##count(float *to, int K, int m, const float *a, ptrdiff_t row)             \
    {                                                                                              \
        panel_along((uint16_t *)to, K, m, a, row, false, count == 3);                              \
    }                                                                                              \
    AMX void amx_standing_##count(float *to, int M, int K, const float *a, ptrdiff_t col)          \
    {                                                                                              \
        uint16_t *panel = (uint16_t *)to;                                                          \
        for (int i = 0; i < M; i += MR)                                                            \
            panel = panel_across(panel, K, M - i, a + i, col, true, count == 3);                   \
    }                                                                                              \
    AMX void amx_rows_##count(float *to, int K, int n, const float *b, ptrdiff_t row)              \
    {                                                                                              \
        panel_across((uint16_t *)to, K, n, b, row, false, count == 3);                             \
    }                                                                                              \
    AMX void amx_columns_##count(float *to, int K, int n, const float *b, ptrdiff_t col)           \
    {                                                                                              \
        panel_along((uint16_t *)to, K, n, b, col, true, count == 3);                               \
    }
KIND(1)
KIND(3)
