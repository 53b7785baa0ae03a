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

/* A warp owns MT tiles of 16 rows and takes the other side SPAN rows at a time, so that scores and
 * sums fit in its registers. */
template <int D> struct backward_shape {
    static constexpr int MT = D <= 64 ? 2 : 1, ROWS = FLASH_WARPS * 16 * MT, SPAN = 32,
                         NT = SPAN / 8;
};

/* ---- dK and dV: warps own keys, everything is transposed ----------------------------------- */

template <int D> struct key_tiles {
    static constexpr int ROWS = backward_shape<D>::ROWS;
    bf16 k[ROWS][D + 8], v[ROWS][D + 8], q[2][TILE][D + 8], d_out[2][TILE][D + 8];
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
            r < time ? lse[line * lse_ld + r] * LOG2E : INFINITY; /* P becomes 0 */
        tiles.delta[into][threadIdx.x] = r < time ? delta[line * time + r] : 0;
    }
    copies_commit();
}

/* A's fragments are read again for every span: held, they would not fit beside four sums. */
template <int D, int MT, int NT>
__device__ static inline void multiply_tile(float (*c)[NT][4], const bf16 (*a)[D + 8], int r0,
                                            const bf16 (*x)[D + 8], int n0)
{
#pragma unroll
    for (int k = 0; k < D; k += 16) {
        uint32_t fa[MT][4], fb[4];
#pragma unroll
        for (int m = 0; m < MT; m++) load_a<D>(fa[m], a, r0 + m * 16, k);
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
            load_b_rows<D>(fb, x, n0 + n * 8, k);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                mma(c[m][n], fa[m], fb);
                mma(c[m][n + 1], fa[m], fb + 2);
            }
        }
    }
}

template <int D>
__global__ void __launch_bounds__(FLASH_THREADS)
    flash_keys_kernel(struct heads d_k, struct heads d_v, struct heads d_out, const float *lse,
                      int lse_ld, struct heads q, struct heads k, struct heads v,
                      const float *delta, int time, int rep, float scale)
{
    constexpr int MT = backward_shape<D>::MT, ROWS = backward_shape<D>::ROWS,
                  SPAN = backward_shape<D>::SPAN, NT = backward_shape<D>::NT;
    extern __shared__ __align__(16) char raw[];
    key_tiles<D> &tiles = *(key_tiles<D> *)raw;
    int kv = blockIdx.y, b = blockIdx.z,
        n_heads = gridDim.y * rep; /* the first keys have most to do */
    int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    int k0 = blockIdx.x * ROWS, first = k0 + warp * 16 * MT, q_first = k0 / TILE;
    int per_head = (time + TILE - 1) / TILE - q_first, steps = per_head * rep;

    load_tile<D, ROWS>(tiles.k, head_at(k, b, kv, time, D), k.ld, k0, time);
    load_tile<D, ROWS>(tiles.v, head_at(v, b, kv, time, D), v.ld, k0, time);
    load_queries<D>(tiles, 0, q, d_out, lse, lse_ld, delta, b, kv * rep, n_heads, q_first * TILE,
                    time);

    float dk[MT][D / 8][4] = {}, dv[MT][D / 8][4] = {};
    for (int step = 0; step < steps; step++) {
        int now = step % 2, next = step + 1, q0 = (q_first + step % per_head) * TILE;
        if (next < steps) {
            load_queries<D>(tiles, now ^ 1, q, d_out, lse, lse_ld, delta, b,
                            kv * rep + next / per_head, n_heads, (q_first + next % per_head) * TILE,
                            time);
            copies_wait<1>();
        } else {
            copies_wait<0>();
        }
        __syncthreads();
#pragma unroll 1
        for (int n0 = 0; n0 < TILE; n0 += SPAN) {
            if (q0 + n0 + SPAN - 1 < first)
                continue; /* all of these queries come before the keys */
            float p[MT][NT][4] = {}, dp[MT][NT][4] = {}; /* (16 MT keys, SPAN queries) */
            multiply_tile<D, MT, NT>(p, tiles.k, warp * 16 * MT, tiles.q[now], n0);
            multiply_tile<D, MT, NT>(dp, tiles.v, warp * 16 * MT, tiles.d_out[now], n0);
            bool edge = q0 + n0 < first + 16 * MT - 1;
#pragma unroll
            for (int m = 0; m < MT; m++)
#pragma unroll
                for (int n = 0; n < NT; n++)
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        int query = n0 + n * 8 + 2 * t + i % 2,
                            key = first + m * 16 + g + i / 2 * 8;
                        float x = exp2f(p[m][n][i] * (scale * LOG2E) - tiles.lse[now][query]);
                        if (edge && q0 + query < key) x = 0;
                        p[m][n][i] = x;
                        dp[m][n][i] = x * (dp[m][n][i] - tiles.delta[now][query]);
                    }
            multiply_cols<D, MT, NT>(dv, p, tiles.d_out[now], n0);
            multiply_cols<D, MT, NT>(dk, dp, tiles.q[now], n0);
        }
        __syncthreads();
    }
    for (int m = 0; m < MT; m++) {
        store_rows<D>(head_at(d_k, b, kv, time, D), d_k.ld, dk[m], scale, scale, first + m * 16,
                      time);
        store_rows<D>(head_at(d_v, b, kv, time, D), d_v.ld, dv[m], 1, 1, first + m * 16, time);
    }
}

/* ---- dQ: warps own queries ----------------------------------------------------------------- */

template <int D> struct query_tiles {
    static constexpr int ROWS = backward_shape<D>::ROWS;
    bf16 q[ROWS][D + 8], d_out[ROWS][D + 8], k[2][TILE][D + 8], v[2][TILE][D + 8];
};

template <int D>
__global__ void __launch_bounds__(FLASH_THREADS)
    flash_queries_kernel(struct heads d_q, struct heads d_out, const float *lse, int lse_ld,
                         struct heads q, struct heads k, struct heads v, const float *delta,
                         int time, int rep, float scale)
{
    constexpr int MT = backward_shape<D>::MT, ROWS = backward_shape<D>::ROWS,
                  SPAN = backward_shape<D>::SPAN, NT = backward_shape<D>::NT;
    extern __shared__ __align__(16) char raw[];
    query_tiles<D> &tiles = *(query_tiles<D> *)raw;
    int h = blockIdx.y, b = blockIdx.z, q0 = (gridDim.x - 1 - blockIdx.x) * ROWS;
    int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4,
        first = q0 + warp * 16 * MT;
    int k_tiles = (min(q0 + ROWS, time) - 1) / TILE + 1;
    const bf16 *kh = head_at(k, b, h / rep, time, D), *vh = head_at(v, b, h / rep, time, D);

    load_tile<D, ROWS>(tiles.q, head_at(q, b, h, time, D), q.ld, q0, time);
    load_tile<D, ROWS>(tiles.d_out, head_at(d_out, b, h, time, D), d_out.ld, q0, time);
    load_tile<D>(tiles.k[0], kh, k.ld, 0, time);
    load_tile<D>(tiles.v[0], vh, v.ld, 0, time);
    copies_commit();
    float base[MT][2], mine[MT][2];
    for (int m = 0; m < MT; m++)
        for (int half = 0; half < 2; half++) {
            int r = first + m * 16 + g + half * 8;
            size_t line = (size_t)b * gridDim.y + h;
            base[m][half] = r < time ? lse[line * lse_ld + r] * LOG2E : INFINITY;
            mine[m][half] = r < time ? delta[line * time + r] : 0;
        }

    rows_held<D, MT> queries, grads;
    float dq[MT][D / 8][4] = {};
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
        if (!kt) {
            queries.load(tiles.q, warp * 16 * MT);
            grads.load(tiles.d_out, warp * 16 * MT);
        }
#pragma unroll 1
        for (int n0 = 0; n0 < TILE; n0 += SPAN) {
            int key0 = kt * TILE + n0;
            if (key0 > first + 16 * MT - 1) break;       /* the rest lies in the warp's future */
            float p[MT][NT][4] = {}, dp[MT][NT][4] = {}; /* (16 MT queries, SPAN keys) */
            multiply_rows<D, MT, NT>(p, queries, tiles.k[now], n0);
            multiply_rows<D, MT, NT>(dp, grads, tiles.v[now], n0);
            bool edge = key0 + SPAN - 1 > first;
#pragma unroll
            for (int m = 0; m < MT; m++)
#pragma unroll
                for (int n = 0; n < NT; n++)
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        float x = exp2f(p[m][n][i] * (scale * LOG2E) - base[m][i / 2]);
                        if (edge && key0 + n * 8 + 2 * t + i % 2 > first + m * 16 + g + i / 2 * 8)
                            x = 0;
                        dp[m][n][i] = x * (dp[m][n][i] - mine[m][i / 2]);
                    }
            multiply_cols<D, MT, NT>(dq, dp, tiles.k[now], n0);
        }
        __syncthreads();
    }
    for (int m = 0; m < MT; m++)
        store_rows<D>(head_at(d_q, b, h, time, D), d_q.ld, dq[m], scale, scale, first + m * 16,
                      time);
}

/* ---- launching ----------------------------------------------------------------------------- */

static struct heads heads_of(struct view v) { return { acts_at<bf16>(v), v.ld }; }

template <int D>
static void launch(struct device *d, struct view d_q, struct view d_k, struct view d_v,
                   struct view d_out, struct view lse, struct view q, struct view k, struct view v,
                   struct attention_shape s, const float *delta)
{
    int rep = s.q_heads / s.kv_heads, keys = sizeof(key_tiles<D>), queries = sizeof(query_tiles<D>);
    float scale = 1 / sqrtf((float)D);
    unsigned tiles = (unsigned)blocks_for((size_t)s.time, backward_shape<D>::ROWS);
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
