#ifndef TRAINER_CUDA_FLASH_H
#define TRAINER_CUDA_FLASH_H

#include "trainer/cuda/device.h"

/*
 * What the tensor-core attention kernels share: tiles in shared memory with rows padded by 16 bytes
 * (so that eight rows of one column of 16-byte pieces lie in different banks), asynchronous copies,
 * and the m16n8k16 product of bf16 with float32 sums.
 *
 * Fragments (PTX ISA, mma.m16n8k16). With g = lane / 4 and t = lane % 4, a thread holds
 *   of A (16 x 16): pairs (g, 2t) (g+8, 2t) (g, 2t+8) (g+8, 2t+8)
 *   of B (16 x 8):  pairs (2t, g) (2t+8, g)
 *   of C (16 x 8):  (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1)
 * so two neighbouring C tiles, rounded to bf16, are an A tile without any exchange.
 */
enum { TILE = 64, FLASH_WARPS = 4, FLASH_THREADS = 32 * FLASH_WARPS };

/* Where head h of a (N, heads*D) matrix keeps sequence b: row t at p + t * ld. */
struct heads {
    bf16 *p;
    int ld;
};

__device__ static inline bf16 *head_at(struct heads m, int b, int h, int time, int D)
{
    return m.p + (size_t)b * time * m.ld + (size_t)h * D;
}

__device__ static inline uint32_t shared_at(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* Sixteen bytes from global to shared memory; zeros when `there` is false. */
__device__ static inline void copy16(void *to, const void *from, bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_at(to)), "l"(from),
                 "r"(there ? 16 : 0));
}

__device__ static inline void copies_commit() { asm volatile("cp.async.commit_group;\n"); }
template <int LEFT> __device__ static inline void copies_wait()
{
    asm volatile("cp.async.wait_group %0;\n" ::"n"(LEFT));
}

/* ROWS rows of a head from `from` on into a padded tile; those at `time` and beyond become zeros.
 */
template <int D, int ROWS = TILE>
__device__ static inline void load_tile(bf16 (*tile)[D + 8], const bf16 *head, int ld, int from,
                                        int time)
{
    for (int i = threadIdx.x; i < ROWS * (D / 8); i += FLASH_THREADS) {
        int r = i / (D / 8), c = i % (D / 8) * 8;
        bool there = from + r < time;
        copy16(&tile[r][c], head + (size_t)(there ? from + r : 0) * ld + c, there);
    }
}

__device__ static inline void load_matrix(uint32_t out[4], const bf16 *p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(shared_at(p)));
}

__device__ static inline void load_matrix_t(uint32_t out[4], const bf16 *p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(shared_at(p)));
}

/* A (16 x 16): rows r0.., columns k0.. of a tile. */
template <int D>
__device__ static inline void load_a(uint32_t a[4], const bf16 (*tile)[D + 8], int r0, int k0)
{
    int lane = threadIdx.x % 32;
    load_matrix(a, &tile[r0 + lane % 16][k0 + lane / 16 * 8]);
}

/* Two B tiles (16 x 8 each) of X^T: b[0..1] for columns n0..n0+8, b[2..3] for the next eight, where
 * B[k][n] = tile[n][k]: rows of the tile are columns of B. */
template <int D>
__device__ static inline void load_b_rows(uint32_t b[4], const bf16 (*tile)[D + 8], int n0, int k0)
{
    int lane = threadIdx.x % 32;
    load_matrix(b, &tile[n0 + lane / 16 * 8 + lane % 8][k0 + lane / 8 % 2 * 8]);
}

/* The same with B[k][n] = tile[k][n]. */
template <int D>
__device__ static inline void load_b_cols(uint32_t b[4], const bf16 (*tile)[D + 8], int k0, int n0)
{
    int lane = threadIdx.x % 32;
    load_matrix_t(b, &tile[k0 + lane / 8 % 2 * 8 + lane % 8][n0 + lane / 16 * 8]);
}

/* c (16 x 8) += a (16 x 16) b (16 x 8) */
__device__ static inline void mma(float c[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ static inline uint32_t pack(float low, float high)
{
    __nv_bfloat162 x = __floats2bfloat162_rn(low, high);
    return *(uint32_t *)&x;
}

/* A's fragments for MT tiles of 16 rows from r0, all of D: loaded once, used for every tile of X.
 */
template <int D, int MT> struct rows_held {
    uint32_t f[MT][D / 16][4];
    __device__ void load(const bf16 (*tile)[D + 8], int r0)
    {
#pragma unroll
        for (int m = 0; m < MT; m++)
#pragma unroll
            for (int k = 0; k < D / 16; k++) load_a<D>(f[m][k], tile, r0 + m * 16, k * 16);
    }
};

/* c (16 MT x NT*8) += A X^T, X the NT*8 rows of a tile from n0. */
template <int D, int MT, int NT>
__device__ static inline void multiply_rows(float (*c)[NT][4], const rows_held<D, MT> &a,
                                            const bf16 (*x)[D + 8], int n0)
{
#pragma unroll
    for (int k = 0; k < D / 16; k++)
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
            uint32_t b[4];
            load_b_rows<D>(b, x, n0 + n * 8, k * 16);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                mma(c[m][n], a.f[m][k], b);
                mma(c[m][n + 1], a.f[m][k], b + 2);
            }
        }
}

/* c (16 MT x D) += P X, P (16 MT x NT*8) in accumulator form, X the NT*8 rows of a tile from k0. */
template <int D, int MT, int NT>
__device__ static inline void multiply_cols(float (*c)[D / 8][4], const float (*p)[NT][4],
                                            const bf16 (*x)[D + 8], int k0)
{
#pragma unroll
    for (int k = 0; k < NT; k += 2) {
        uint32_t a[MT][4];
#pragma unroll
        for (int m = 0; m < MT; m++) {
            a[m][0] = pack(p[m][k][0], p[m][k][1]), a[m][1] = pack(p[m][k][2], p[m][k][3]);
            a[m][2] = pack(p[m][k + 1][0], p[m][k + 1][1]),
            a[m][3] = pack(p[m][k + 1][2], p[m][k + 1][3]);
        }
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            uint32_t b[4];
            load_b_cols<D>(b, x, k0 + k * 8, n * 8);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                mma(c[m][n], a[m], b);
                mma(c[m][n + 1], a[m], b + 2);
            }
        }
    }
}

/* Writes a warp's accumulator (16 x D), times `scale`, to rows r0.. of a head; rows beyond `time`
 * are left alone. */
template <int D>
__device__ static inline void store_rows(bf16 *head, int ld, const float c[D / 8][4],
                                         float low_scale, float high_scale, int r0, int time)
{
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
        if (r0 + g < time)
            *(uint32_t *)(head + (size_t)(r0 + g) * ld + n * 8 + 2 * t) =
                pack(c[n][0] * low_scale, c[n][1] * low_scale);
        if (r0 + g + 8 < time)
            *(uint32_t *)(head + (size_t)(r0 + g + 8) * ld + n * 8 + 2 * t) =
                pack(c[n][2] * high_scale, c[n][3] * high_scale);
    }
}

/* Can the kernels take this head_dim and these views? */
bool flash_takes(struct attention_shape s, const struct view *views, int n);

void flash_forward(struct device *d, struct view out, struct view lse, struct view q, struct view k,
                   struct view v, struct attention_shape s);
void flash_backward(struct device *d, struct view d_q, struct view d_k, struct view d_v,
                    struct view d_out, struct view lse, struct view q, struct view k, struct view v,
                    struct attention_shape s, const float *delta);

#endif
