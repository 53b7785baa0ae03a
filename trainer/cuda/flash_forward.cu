/*
 * Causal attention in tiles, forward (FlashAttention-2, Dao 2023): one block a query tile of 64 or
 * 128 rows and head, one warp 16 or 32 of them; key tiles stream through shared memory two deep
 * while the softmax is kept up to date by its running maximum and sum. Nothing of size T x T
 * exists.
 */
#include "trainer/cuda/flash.h"

#define LOG2E 1.4426950408889634f

/* Two tiles of 16 rows a warp up to head_dim 64: each fragment of K and V serves twice as many
 * products. Wider heads have no registers left for it. */
template <int D> struct forward_shape {
    static constexpr int MT = D <= 64 ? 2 : 1, ROWS = FLASH_WARPS * 16 * MT;
};

template <int D> struct forward_tiles {
    bf16 q[forward_shape<D>::ROWS][D + 8], k[2][TILE][D + 8], v[2][TILE][D + 8];
};

/* One row's running maximum and sum after NT more tiles of scores; the scores become weights. */
template <int D>
__device__ static inline void soften(float (*s)[4], float (*o)[4], int half, float &top, float &sum,
                                     float scale_log2)
{
    float m = top;
#pragma unroll
    for (int n = 0; n < TILE / 8; n++) m = fmaxf(m, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
    m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 1));
    m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2));
    float fade = exp2f((top - m) * scale_log2), base = m * scale_log2;
    top = m;
    sum *= fade;
#pragma unroll
    for (int n = 0; n < TILE / 8; n++)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; i++) {
            s[n][i] = exp2f(s[n][i] * scale_log2 - base);
            sum += s[n][i];
        }
#pragma unroll
    for (int n = 0; n < D / 8; n++) o[n][2 * half] *= fade, o[n][2 * half + 1] *= fade;
}

template <int D>
__global__ void __launch_bounds__(FLASH_THREADS)
    flash_forward_kernel(struct heads out, float *lse, int lse_ld, struct heads q, struct heads k,
                         struct heads v, int time, int rep, float scale)
{
    constexpr int MT = forward_shape<D>::MT, ROWS = forward_shape<D>::ROWS;
    extern __shared__ __align__(16) char raw[];
    forward_tiles<D> &tiles = *(forward_tiles<D> *)raw;
    int qt = gridDim.x - 1 - blockIdx.x, h = blockIdx.y,
        b = blockIdx.z; /* the longest rows start first */
    int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    int q0 = qt * ROWS, first = q0 + warp * 16 * MT; /* the warp's first row */
    int last = min(q0 + ROWS, time) - 1, k_tiles = last / TILE + 1;
    const bf16 *kh = head_at(k, b, h / rep, time, D), *vh = head_at(v, b, h / rep, time, D);

    load_tile<D, ROWS>(tiles.q, head_at(q, b, h, time, D), q.ld, q0, time);
    load_tile<D>(tiles.k[0], kh, k.ld, 0, time);
    load_tile<D>(tiles.v[0], vh, v.ld, 0, time);
    copies_commit();

    rows_held<D, MT> queries;
    float o[MT][D / 8][4] = {}, top[MT][2], sum[MT][2];
    for (int m = 0; m < MT; m++) top[m][0] = top[m][1] = -INFINITY, sum[m][0] = sum[m][1] = 0;
    for (int kt = 0; kt < k_tiles; kt++) {
        int now = kt % 2;
        if (kt + 1 < k_tiles) {
            load_tile<D>(tiles.k[now ^ 1], kh, k.ld, (kt + 1) * TILE, time);
            load_tile<D>(tiles.v[now ^ 1], vh, v.ld, (kt + 1) * TILE, time);
            copies_commit();
            copies_wait<1>();
        } else {
            copies_wait<0>();
        }
        __syncthreads();
        if (!kt) queries.load(tiles.q, warp * 16 * MT);

        if (kt * TILE <= first + 16 * MT - 1) { /* else all of the tile lies in the warp's future */
            float s[MT][TILE / 8][4] = {};
            multiply_rows<D, MT, TILE / 8>(s, queries, tiles.k[now], 0);
            if (kt * TILE + TILE - 1 > first) {
#pragma unroll
                for (int m = 0; m < MT; m++)
#pragma unroll
                    for (int n = 0; n < TILE / 8; n++)
#pragma unroll
                        for (int i = 0; i < 4; i++)
                            if (kt * TILE + n * 8 + 2 * t + i % 2 > first + m * 16 + g + i / 2 * 8)
                                s[m][n][i] = -INFINITY;
            }
#pragma unroll
            for (int m = 0; m < MT; m++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    soften<D>(s[m], o[m], half, top[m][half], sum[m][half], scale * LOG2E);
            multiply_cols<D, MT, TILE / 8>(o, s, tiles.v[now], 0);
        }
        __syncthreads(); /* before the next copies overwrite what the others still read */
    }

#pragma unroll
    for (int m = 0; m < MT; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            sum[m][half] += __shfl_xor_sync(0xffffffffu, sum[m][half], 1);
            sum[m][half] += __shfl_xor_sync(0xffffffffu, sum[m][half], 2);
            int r = first + m * 16 + g + half * 8;
            if (!t && r < time)
                lse[((size_t)b * gridDim.y + h) * lse_ld + r] =
                    top[m][half] * scale + logf(sum[m][half]);
        }
        store_rows<D>(head_at(out, b, h, time, D), out.ld, o[m], 1 / sum[m][0], 1 / sum[m][1],
                      first + m * 16, time);
    }
}

static struct heads heads_of(struct view v) { return { acts_at<bf16>(v), v.ld }; }

template <int D>
static void launch(struct device *d, struct view out, struct view lse, struct view q, struct view k,
                   struct view v, struct attention_shape s)
{
    int shared = sizeof(forward_tiles<D>);
    CUDA(cudaFuncSetAttribute(flash_forward_kernel<D>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              shared));
    dim3 grid((unsigned)blocks_for((size_t)s.time, forward_shape<D>::ROWS), (unsigned)s.q_heads,
              (unsigned)s.batch);
    flash_forward_kernel<D><<<grid, FLASH_THREADS, shared, d->stream>>>(
        heads_of(out), floats_at(lse), lse.ld, heads_of(q), heads_of(k), heads_of(v), s.time,
        s.q_heads / s.kv_heads, 1 / sqrtf((float)D));
    LAUNCHED();
}

void flash_forward(struct device *d, struct view out, struct view lse, struct view q, struct view k,
                   struct view v, struct attention_shape s)
{
    switch (s.head_dim) {
    case 32: launch<32>(d, out, lse, q, k, v, s); break;
    case 64: launch<64>(d, out, lse, q, k, v, s); break;
    case 96: launch<96>(d, out, lse, q, k, v, s); break;
    case 128: launch<128>(d, out, lse, q, k, v, s); break;
    }
}

bool flash_takes(struct attention_shape s, const struct view *views, int n)
{
    int D = s.head_dim;
    for (int i = 0; i < n; i++)
        if (views[i].at % 8 || views[i].ld % 8) return false; /* 16-byte rows */
    return D == 32 || D == 64 || D == 96 || D == 128;
}
