/*
 * Causal attention in tiles, backward. With P = exp(scale S - lse) computed again and
 * delta = sum over D of d_out * out:
 *     dP = d_out V^T,   dS = P (dP - delta),   dV = P^T d_out,   dK = scale dS^T Q,   dQ = scale dS
 * K. Two kernels, so that every output has one owner and no atomic addition is needed: one block a
 * key tile walks the query tiles of all heads of its group (dK, dV), one block a query tile walks
 * the key tiles (dQ). The price is S and dP computed twice, 7 products instead of 5; the gain is
 * that the same inputs give the same bits.
 */
#include "trainer/cuda/flash.h"

#define LOG2E 1.4426950408889634f

/* ---- dK and dV: warps own 16 keys each, everything transposed ----------------------------------
 */

template <int D> struct key_tiles {
    bf16 k[TILE][D + 8], v[TILE][D + 8], q[2][TILE][D + 8], d_out[2][TILE][D + 8];
    float lse[2][TILE], delta[2][TILE];
};

template <int D>
__device__ static inline void
load_queries(key_tiles<D> &tiles, int into, struct heads q, struct heads d_out, const float *lse,
             int lse_ld, const float *delta, int b, int h, int n_heads, int q0, int time)
{
    load_tile<D>(tiles.q[into], head_at(q, b, h, time, D), q.ld, q0, time);
    load_tile<D>(tiles.d_out[into], head_at(d_out, b, h, time, D), d_out.ld, q0, time);
    if (threadIdx.x < TILE) {
        int r = q0 + threadIdx.x;
        size_t line = (size_t)b * n_heads + h;
        tiles.lse[into][threadIdx.x] =
            r < time ? lse[line * lse_ld + r] : INFINITY; /* P becomes 0 */
        tiles.delta[into][threadIdx.x] = r < time ? delta[line * time + r] : 0;
    }
    copies_commit();
}

template <int D>
__global__ void __launch_bounds__(FLASH_THREADS)
    flash_keys_kernel(struct heads d_k, struct heads d_v, struct heads d_out, const float *lse,
                      int lse_ld, struct heads q, struct heads k, struct heads v,
                      const float *delta, int time, int rep, float scale)
{
    extern __shared__ __align__(16) char raw[];
    key_tiles<D> &tiles = *(key_tiles<D> *)raw;
    int kt = blockIdx.x, kv = blockIdx.y, b = blockIdx.z,
        n_heads = gridDim.y * rep; /* the first has most to do */
    int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, k0 = kt * TILE;
    int q_tiles = (time + TILE - 1) / TILE, per_head = q_tiles - kt, steps = per_head * rep;

    load_tile<D>(tiles.k, head_at(k, b, kv, time, D), k.ld, k0, time);
    load_tile<D>(tiles.v, head_at(v, b, kv, time, D), v.ld, k0, time);
    load_queries<D>(tiles, 0, q, d_out, lse, lse_ld, delta, b, kv * rep, n_heads, k0, time);

    float dk[D / 8][4] = {}, dv[D / 8][4] = {};
    for (int step = 0; step < steps; step++) {
        int now = step % 2, next = step + 1, qt = kt + step % per_head;
        if (next < steps) {
            load_queries<D>(tiles, now ^ 1, q, d_out, lse, lse_ld, delta, b,
                            kv * rep + next / per_head, n_heads, (kt + next % per_head) * TILE,
                            time);
            copies_wait<1>();
        } else {
            copies_wait<0>();
        }
        __syncthreads();

        float p[TILE / 8][4] = {}, dp[TILE / 8][4] = {}; /* (16 keys, 64 queries) */
        multiply_rows<D>(p, tiles.k, warp * 16, tiles.q[now]);
        multiply_rows<D>(dp, tiles.v, warp * 16, tiles.d_out[now]);
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int query = n * 8 + 2 * t + i % 2, key = warp * 16 + g + i / 2 * 8;
                float x = exp2f((p[n][i] * scale - tiles.lse[now][query]) * LOG2E);
                if (qt == kt && query < key) x = 0;
                p[n][i] = x;
                dp[n][i] = x * (dp[n][i] - tiles.delta[now][query]);
            }
        multiply_cols<D>(dv, p, tiles.d_out[now]);
        multiply_cols<D>(dk, dp, tiles.q[now]);
        __syncthreads();
    }
    store_rows<D>(head_at(d_k, b, kv, time, D), d_k.ld, dk, scale, scale, k0 + warp * 16, time);
    store_rows<D>(head_at(d_v, b, kv, time, D), d_v.ld, dv, 1, 1, k0 + warp * 16, time);
}

/* ---- dQ: warps own 16 queries each
 * ------------------------------------------------------------------ */

template <int D> struct query_tiles {
    bf16 q[TILE][D + 8], d_out[TILE][D + 8], k[2][TILE][D + 8], v[2][TILE][D + 8];
};

template <int D>
__global__ void __launch_bounds__(FLASH_THREADS)
    flash_queries_kernel(struct heads d_q, struct heads d_out, const float *lse, int lse_ld,
                         struct heads q, struct heads k, struct heads v, const float *delta,
                         int time, int rep, float scale)
{
    extern __shared__ __align__(16) char raw[];
    query_tiles<D> &tiles = *(query_tiles<D> *)raw;
    int qt = gridDim.x - 1 - blockIdx.x, h = blockIdx.y, b = blockIdx.z;
    int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, q0 = qt * TILE;
    const bf16 *kh = head_at(k, b, h / rep, time, D), *vh = head_at(v, b, h / rep, time, D);

    load_tile<D>(tiles.q, head_at(q, b, h, time, D), q.ld, q0, time);
    load_tile<D>(tiles.d_out, head_at(d_out, b, h, time, D), d_out.ld, q0, time);
    load_tile<D>(tiles.k[0], kh, k.ld, 0, time);
    load_tile<D>(tiles.v[0], vh, v.ld, 0, time);
    copies_commit();
    float base[2], mine[2];
    for (int half = 0; half < 2; half++) {
        int r = q0 + warp * 16 + g + half * 8;
        size_t line = (size_t)b * gridDim.y + h;
        base[half] = r < time ? lse[line * lse_ld + r] : INFINITY;
        mine[half] = r < time ? delta[line * time + r] : 0;
    }

    float dq[D / 8][4] = {};
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

        float p[TILE / 8][4] = {}, dp[TILE / 8][4] = {}; /* (16 queries, 64 keys) */
        multiply_rows<D>(p, tiles.q, warp * 16, tiles.k[now]);
        multiply_rows<D>(dp, tiles.d_out, warp * 16, tiles.v[now]);
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float x = exp2f((p[n][i] * scale - base[i / 2]) * LOG2E);
                if (kt == qt && n * 8 + 2 * t + i % 2 > warp * 16 + g + i / 2 * 8) x = 0;
                dp[n][i] = x * (dp[n][i] - mine[i / 2]);
            }
        multiply_cols<D>(dq, dp, tiles.k[now]);
        __syncthreads();
    }
    store_rows<D>(head_at(d_q, b, h, time, D), d_q.ld, dq, scale, scale, q0 + warp * 16, time);
}

/* ---- launching
 * --------------------------------------------------------------------------------------- */

static struct heads heads_of(struct view v) { return { acts_at<bf16>(v), v.ld }; }

template <int D>
static void launch(struct device *d, struct view d_q, struct view d_k, struct view d_v,
                   struct view d_out, struct view lse, struct view q, struct view k, struct view v,
                   struct attention_shape s, const float *delta)
{
    int rep = s.q_heads / s.kv_heads, keys = sizeof(key_tiles<D>), queries = sizeof(query_tiles<D>);
    float scale = 1 / sqrtf((float)D);
    unsigned tiles = (unsigned)blocks_for((size_t)s.time, TILE);
    CUDA(cudaFuncSetAttribute(flash_keys_kernel<D>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              keys));
    CUDA(cudaFuncSetAttribute(flash_queries_kernel<D>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              queries));
    flash_keys_kernel<D>
        <<<dim3(tiles, (unsigned)s.kv_heads, (unsigned)s.batch), FLASH_THREADS, keys, d->stream>>>(
            heads_of(d_k), heads_of(d_v), heads_of(d_out), floats_at(lse), lse.ld, heads_of(q),
            heads_of(k), heads_of(v), delta, s.time, rep, scale);
    LAUNCHED();
    flash_queries_kernel<D><<<dim3(tiles, (unsigned)s.q_heads, (unsigned)s.batch), FLASH_THREADS,
                              queries, d->stream>>>(heads_of(d_q), heads_of(d_out), floats_at(lse),
                                                    lse.ld, heads_of(q), heads_of(k), heads_of(v),
                                                    delta, s.time, rep, scale);
    LAUNCHED();
}

void flash_backward(struct device *d, struct view d_q, struct view d_k, struct view d_v,
                    struct view d_out, struct view lse, struct view q, struct view k, struct view v,
                    struct attention_shape s, const float *delta)
{
    switch (s.head_dim) {
    case 32: launch<32>(d, d_q, d_k, d_v, d_out, lse, q, k, v, s, delta); break;
    case 64: launch<64>(d, d_q, d_k, d_v, d_out, lse, q, k, v, s, delta); break;
    case 96: launch<96>(d, d_q, d_k, d_v, d_out, lse, q, k, v, s, delta); break;
    case 128: launch<128>(d, d_q, d_k, d_v, d_out, lse, q, k, v, s, delta); break;
    }
}
