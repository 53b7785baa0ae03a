/*
 * Causal attention in tiles, forward (FlashAttention-2, Dao 2023): one block a query tile of 64
 * rows and head, one warp 16 of them; key tiles stream through shared memory two deep while the
 * softmax is kept up to date by its running maximum and sum. Nothing of size T x T exists.
 */
#include "trainer/cuda/flash.h"

#define LOG2E 1.4426950408889634f

template <int D> struct forward_tiles {
    bf16 q[TILE][D + 8], k[2][TILE][D + 8], v[2][TILE][D + 8];
};

template <int D>
__global__ void __launch_bounds__(FLASH_THREADS)
    flash_forward_kernel(struct heads out, float *lse, int lse_ld, struct heads q, struct heads k,
                         struct heads v, int time, int rep, float scale)
{
    extern __shared__ __align__(16) char raw[];
    forward_tiles<D> &tiles = *(forward_tiles<D> *)raw;
    int qt = gridDim.x - 1 - blockIdx.x, h = blockIdx.y,
        b = blockIdx.z; /* the longest rows start first */
    int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    int q0 = qt * TILE, row = q0 + warp * 16 + g; /* this thread's rows: row and row + 8 */
    const bf16 *kh = head_at(k, b, h / rep, time, D), *vh = head_at(v, b, h / rep, time, D);

    load_tile<D>(tiles.q, head_at(q, b, h, time, D), q.ld, q0, time);
    load_tile<D>(tiles.k[0], kh, k.ld, 0, time);
    load_tile<D>(tiles.v[0], vh, v.ld, 0, time);
    copies_commit();

    float o[D / 8][4] = {}, top[2] = { -INFINITY, -INFINITY }, sum[2] = { 0, 0 };
    for (int kt = 0; kt <= qt; kt++) {
        int now = kt % 2;
        if (kt < qt) {
            load_tile<D>(tiles.k[now ^ 1], kh, k.ld, (kt + 1) * TILE, time);
            load_tile<D>(tiles.v[now ^ 1], vh, v.ld, (kt + 1) * TILE, time);
            copies_commit();
            copies_wait<1>();
        } else {
            copies_wait<0>();
        }
        __syncthreads();

        float s[TILE / 8][4] = {};
        multiply_rows<D>(s, tiles.q, warp * 16, tiles.k[now]);
        if (kt == qt) {
#pragma unroll
            for (int n = 0; n < TILE / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    if (kt * TILE + n * 8 + 2 * t + i % 2 > row + i / 2 * 8) s[n][i] = -INFINITY;
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float m = top[half];
#pragma unroll
            for (int n = 0; n < TILE / 8; n++)
                m = fmaxf(m, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
            m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 1));
            m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2));
            float fade = exp2f((top[half] - m) * scale * LOG2E), base = m * scale * LOG2E;
            top[half] = m;
            sum[half] *= fade;
#pragma unroll
            for (int n = 0; n < TILE / 8; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    s[n][i] = exp2f(s[n][i] * scale * LOG2E - base);
                    sum[half] += s[n][i];
                }
#pragma unroll
            for (int n = 0; n < D / 8; n++) o[n][2 * half] *= fade, o[n][2 * half + 1] *= fade;
        }
        multiply_cols<D>(o, s, tiles.v[now]);
        __syncthreads(); /* before the next copies overwrite what the others still read */
    }

#pragma unroll
    for (int half = 0; half < 2; half++) {
        sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 1);
        sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 2);
        int r = row + half * 8;
        if (!t && r < time)
            lse[((size_t)b * gridDim.y + h) * lse_ld + r] = top[half] * scale + logf(sum[half]);
    }
    store_rows<D>(head_at(out, b, h, time, D), out.ld, o, 1 / sum[0], 1 / sum[1], q0 + warp * 16,
                  time);
}

static struct heads heads_of(struct view v) { return { acts_at<bf16>(v), v.ld }; }

template <int D>
static void launch(struct device *d, struct view out, struct view lse, struct view q, struct view k,
                   struct view v, struct attention_shape s)
{
    int shared = sizeof(forward_tiles<D>);
    CUDA(cudaFuncSetAttribute(flash_forward_kernel<D>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              shared));
    dim3 grid((unsigned)blocks_for((size_t)s.time, TILE), (unsigned)s.q_heads, (unsigned)s.batch);
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
