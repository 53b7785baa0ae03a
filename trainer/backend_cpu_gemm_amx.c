#include "trainer/backend_cpu_gemm_amx.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "trainer/backend_cpu_gemm_blocked.h"

#define INLINE static inline __attribute__((always_inline))

enum { MR = AMX_TILE, NR = AMX_TILE, REGISTER = AMX_REGISTER, KB = AMX_DEPTH };

/* Sums in registers 0..3, the left operand in 4 and 5, the right one in 6 and 7. */
AMX INLINE void load_left(const uint16_t *a)
{
    _tile_loadd(4, a, 64);
    _tile_loadd(5, a + REGISTER, 64);
}

AMX INLINE void load_right(const uint16_t *b)
{
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + REGISTER, 64);
}

AMX INLINE void four_products(void)
{
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

AMX INLINE void load_sums(const float *c, ptrdiff_t ldc)
{
    long step = ldc * (long)sizeof *c;
    _tile_loadd(0, c, step);
    _tile_loadd(1, c + 16, step);
    _tile_loadd(2, c + 16 * ldc, step);
    _tile_loadd(3, c + 16 * ldc + 16, step);
}

AMX INLINE void zero_sums(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

AMX INLINE void store_sums(float *c, ptrdiff_t ldc)
{
    long step = ldc * (long)sizeof *c;
    _tile_stored(0, c, step);
    _tile_stored(1, c + 16, step);
    _tile_stored(2, c + 16 * ldc, step);
    _tile_stored(3, c + 16 * ldc + 16, step);
}

AMX INLINE void tile(int blocks, const uint16_t *a, const uint16_t *b, float *c, ptrdiff_t ldc,
                     bool add, bool three)
{
    const int lo = 2 * REGISTER, block = amx_block(three);
    if (add)
        load_sums(c, ldc);
    else
        zero_sums();
    for (int k = 0; k < blocks; k++, a += block, b += block) {
        load_right(b);
        if (three) {
            load_left(a + lo);
            four_products();
        }
        load_left(a);
        four_products();
        if (three) {
            load_right(b + lo);
            four_products();
        }
    }
    store_sums(c, ldc);
}

/* Between a tile's sums and a part of c (m, n). */
static void put(float *to, ptrdiff_t to_ld, const float *from, ptrdiff_t from_ld, int m, int n)
{
    for (int i = 0; i < m; i++) memcpy(to + i * to_ld, from + i * from_ld, (size_t)n * sizeof *to);
}

/* At the edges of c the sums have a place of their own. */
AMX INLINE void edge_tile(int m, int n, int blocks, const uint16_t *a, const uint16_t *b, float *c,
                          ptrdiff_t ldc, bool add, bool three)
{
    float aside[MR * NR] __attribute__((aligned(64))) = { 0 };
    if (add) put(aside, NR, c, ldc, m, n);
    tile(blocks, a, b, aside, NR, add, three);
    put(c, ldc, aside, NR, m, n);
}

AMX static void configure(void)
{
    struct {
        uint8_t palette, start, none[14];
        uint16_t bytes_in_row[16];
        uint8_t rows[16];
    } all = { .palette = 1 };
    for (int i = 0; i < 8; i++) all.bytes_in_row[i] = 64, all.rows[i] = 16;
    _tile_loadconfig(&all);
}

AMX INLINE void tiles_of(int m, int n, int depth, const float *left, ptrdiff_t next,
                         const float *right, float *c, int ldc, bool add, bool three)
{
    int blocks = (depth + KB - 1) / KB;
    const uint16_t *b = (const uint16_t *)right;
    configure();
    for (; m > 0; m -= MR, left += next, c += (ptrdiff_t)MR * ldc) {
        const uint16_t *a = (const uint16_t *)left;
        if (m >= MR && n >= NR)
            tile(blocks, a, b, c, ldc, add, three);
        else
            edge_tile(m < MR ? m : MR, n, blocks, a, b, c, ldc, add, three);
    }
    _tile_release();
}

#define PANEL(count)                                                                               \
    AMX static void panel_##count(int m, int n, int depth, struct operand left, ptrdiff_t next,    \
                                  const float *right, float *c, int ldc, bool add)                 \
    {                                                                                              \
        tiles_of(m, n, depth, left.at, next, right, c, ldc, add, count == 3);                      \
    }
PANEL(1)
PANEL(3)

/* A panel of the right operand takes 24 and 40 KB of a first-level cache of 48, a block of the left
 * one 240 and 400 KB of a second-level one of 2 MB. */
static const struct tiles one = {
    MR, NR, 384, 320, 320, KB, 2, panel_1, amx_lying_1, amx_standing_1, amx_rows_1, amx_columns_1
};
static const struct tiles three = {
    MR, NR, 320, 320, 320, KB, 1, panel_3, amx_lying_3, amx_standing_3, amx_rows_3, amx_columns_3
};

BLOCKED_GEMM(amx, one, KB, 2)
BLOCKED_GEMM(amx_x3, three, KB, 1)

/* The system must let the process use the registers, which are large. */
static bool permitted(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA);
}

static bool has_units(void)
{
    unsigned a, b, c, d, want = 1u << 22 | 1u << 24; /* AMX-BF16 and AMX-TILE: leaf 7, edx */
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & want) == want;
}

static bool usable(void)
{
    __builtin_cpu_init();
    bool vectors = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw");
    return vectors && has_units() && permitted();
}

const struct gemm *gemm_amx(void) { return usable() ? &amx : NULL; }

const struct gemm *gemm_amx_x3(void) { return usable() ? &amx_x3 : NULL; }
