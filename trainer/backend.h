#ifndef TRAINER_BACKEND_H
#define TRAINER_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "search/base/error.h"

/*
 * A backend is a place where numbers live and the operations that run there, at
 * the grain of an operation of the paper:
 *
 *     ref   plain loops with double sums: the meaning of every operation
 *     cpu   one OpenMP team for everything; matmuls by our own AVX-512 or AVX2
 *           kernels, or by OpenBLAS where the processor has neither. cpu-blas always takes OpenBLAS.
 *           cpu-bf16 rounds operands to bfloat16: those of all products where the processor
 *           has AMX, else those of linear maps where oneDNN or OpenBLAS is fast at that;
 *           cpu-bf16-plain does the latter anywhere, slowly, for checks. cpu-bf16x3 takes three
 *           such products on AMX for one of float32: products are within about 5e-6 of their norm
 *     cuda  linked in when built with LATHE_CUDA; otherwise backend_open says so.
 *           cuda-exact gives the same bits every time, at some cost in attention;
 *           cuda-f32 is the same in float32 throughout, for checks
 *
 * `ref` is the specification: tests/trainer/test_backends_agree.c runs every
 * operation on every backend and compares with it.
 *
 * Memory. A `struct block` is memory of the backend; nobody above looks inside.
 * How wide an element is in it is the backend's business (cpu: float32; cuda:
 * what suits the use), except that BLOCK_FLOATS are float32, BLOCK_IDS int32 and
 * BLOCK_SUMS float64 everywhere. A `struct view` is a matrix inside a block:
 * element (r, c) lies at `at + r * ld + c`, counted in elements. A vector is a
 * view of one row. Views are values; they own nothing. Outputs never overlap
 * inputs unless an operation says so.
 *
 * Letters, everywhere: B batch, T time, N rows (B*T), C hidden, F ffn channels,
 * V vocabulary, H query heads, K key/value heads, D head_dim. Matrices are
 * row-major, (rows, columns). `d_x` is the gradient of x.
 *
 * Widths. What lies in a row beyond `cols` is not part of the matrix, and no
 * operation may change it except within the padding of a matrix that it writes.
 * Every `ld` and every start of a matrix is a multiple of `multiple`. A backend
 * that prefers round widths may compute on up to the next multiple: there weights
 * and moments are zero (they start so, and surgery fills what it vacates) and
 * activations are finite. Those of ref and cpu stay within `cols`.
 *
 * Order of execution is the order of the calls; a backend may run behind the
 * caller, and the downloads and `finish` wait for it. Calls come from one thread at a time.
 * Same backend, same calls: the same bits (cpu: with any number of threads; cuda: unless its
 * attention is cuDNN's, see cuda-exact).
 */

struct block;

struct view {
    struct block *block;
    size_t at;
    int rows, cols, ld;
};

enum block_use {
    BLOCK_WEIGHTS, /* the master weights; matmuls may use a copy of lower precision */
    BLOCK_GRADS,
    BLOCK_MOMENTS,
    BLOCK_ACTIVATIONS, /* what flows between operations, logits included */
    BLOCK_FLOATS,      /* float32: norm statistics, losses, rotary table */
    BLOCK_IDS,         /* int32: token ids and targets */
    BLOCK_SUMS,        /* float64: saliency sums */
    BLOCK_USES
};

/* One linear map of several that share their input: out (N, M) = base + inp (N, K) @ weight^T +
 * bias. weight is (M, K). base and bias are left out when their `block` is NULL; base may be out
 * itself. */
struct projection {
    struct view out, weight, bias, base;
};

/* A parameter tensor as the optimizer sees it: (rows, cols) with ld at `at` in all four blocks
 * (struct adamw's moments_at apart).
 * For saliency, element (r, c) belongs to sum `row_sum + r / row_span` and to sum
 * `col_sum + c / col_span`; a negative row_sum or col_sum means to none on that side. */
struct param {
    size_t at;
    int rows, cols, ld;
    bool decay; /* weight decay applies */
    int row_sum, row_span, col_sum, col_span;
};

/* One AdamW step as torch.optim.AdamW takes it: decoupled decay with the plain learning rate,
 * bias correction of both moments, epsilon outside the square root. With g' = scale * g:
 *     w -= lr*decay*w;  m = b1*m + (1-b1)*g';  v = b2*v + (1-b2)*g'^2
 *     w -= lr / (1-b1^step) * m / (sqrt(v / (1-b2^step)) + epsilon)
 * scale is 1, or with clip_norm > 0 and norm = sqrt(squares[squares_at])
 *     min(1, clip_norm / (norm + 1e-6))            as torch.nn.utils.clip_grad_norm_ has it.
 * When norm is not finite nothing changes at all, sums neither.
 * When `sums` is set, |w * g| with the values before the step and the unscaled g is added to
 * the sums of the element's groups: saliency costs no pass of its own. */
struct adamw {
    struct block *weights, *grads, *m, *v;
    const struct param *param;
    int n_params;
    size_t moments_at; /* m and v start there: element i has its moments at i - moments_at */
    double lr, beta1, beta2, epsilon, weight_decay, clip_norm;
    struct block *squares; /* of BLOCK_SUMS: what sum_squares left there */
    int squares_at;
    int64_t step;       /* 1 for the first */
    struct block *sums; /* or NULL */
    int n_sums;
};

/* What a student learns from: (1 - weight) cross-entropy + weight T^2 KL(p || q), where p and q are
 * the softmax of the teacher's and of the student's logits, each divided by the temperature T
 * (Hinton, Vinyals, Dean 2015). */
struct distill {
    double weight, temperature;
};

/* A piece of a matrix that moves inside its block: to = from, then from = 0. They are of one size;
 * where they are the same piece, it only becomes zero. */
struct move {
    struct view to, from;
};

/* Rows that move `up` rows towards the start of their block, over whatever lies there; what they leave
 * becomes zero. */
struct shift {
    struct view rows;
    int up;
};

struct attention_shape {
    int batch, time, q_heads, kv_heads, head_dim; /* kv_heads divides q_heads */
};

/* Rows row..row+rows-1 of a batch follow one another in one sequence; row + i sees the keys
 * past_at..past_at+past-1 and own_at..own_at+i. Five ids each. */
enum span_member { SPAN_ROW, SPAN_ROWS, SPAN_PAST_AT, SPAN_PAST, SPAN_OWN_AT, SPAN_MEMBERS };

struct backend {
    const char *name;
    int threads;
    int multiple;          /* storage widths are rounded up to this */
    bool keeps_outputs;    /* memory is cheaper than time: training keeps the outputs of norms and of
                              swiglu rather than computing them again on the way back */
    bool lends_gradients;  /* activations may lie in a block of gradients, which need not be zero
                              where nothing is written */
    size_t logits_at_once; /* logits are computed in chunks of rows of about this many elements */
    int element_bytes[BLOCK_USES]; /* what an element of each use costs, copies included */

    void (*close)(struct backend *be);

    /* --- memory --- */

    /* Zeroed. E_MEMORY, naming the bytes, when it does not fit; *out is NULL then. */
    enum status (*alloc)(struct backend *be, enum block_use use, size_t n, struct block **out,
                         struct error *err);
    void (*release)(struct backend *be, struct block *block); /* NULL is fine */
    /* Room beside a block of weights for a copy of up to n elements at a time, copy_bytes each, that
     * matmuls read instead: matrices, or neighbours that are used together, which are copied again
     * when others were in between. Without it each matmul makes its own. E_MEMORY. NULL where there are
     * no such copies or alloc makes them. */
    enum status (*reserve_copy)(struct backend *be, struct block *weights, size_t n,
                                struct error *err);
    int copy_bytes;

    /* Between a view and a dense (rows, cols) array of floats of ours. */
    void (*upload)(struct backend *be, struct view to, const float *from);
    void (*download)(struct backend *be, float *to, struct view from);
    void (*upload_ids)(struct backend *be, struct view to, const int32_t *from);
    void (*upload_sums)(struct backend *be, struct block *to, const double *from, int n);
    void (*download_sums)(struct backend *be, double *to, struct block *from, int n);

    /* to = from, same rows and cols, within or between blocks of one use. No overlap. */
    void (*copy)(struct backend *be, struct view to, struct view from);
    void (*zero)(struct backend *be, struct view to);
    /* All of them, in blocks of weights, gradients or moments; no element occurs in two. */
    void (*move)(struct backend *be, const struct move *m, int n);
    /* All of them, in blocks of weights or moments; where one writes, no other reads or writes. */
    void (*shift)(struct backend *be, const struct shift *s, int n);
    void (*finish)(struct backend *be);

    /* --- operations --- */

    /* out (N, C) = table (V, C)[ids (1, N)] */
    void (*embed_forward)(struct backend *be, struct view out, struct view table, struct view ids);
    /* d_table[ids[n]] += d_out[n] */
    void (*embed_backward)(struct backend *be, struct view d_table, struct view d_out,
                           struct view ids);

    /* out (N, C) = inp * rstd * gain (1, C), rstd (1, N) = 1 / sqrt(mean over C of inp^2 +
     * epsilon); keeps rstd for the way back. */
    void (*rmsnorm_forward)(struct backend *be, struct view out, struct view rstd, struct view inp,
                            struct view gain, double epsilon);
    /* d_inp (N, C) += its share; d_gain (1, C) is added to when `add`, else written.
     * When out.block is set, the forward's `out` is computed again on the way. */
    void (*rmsnorm_backward)(struct backend *be, struct view d_inp, struct view d_gain,
                             struct view out, struct view d_out, struct view inp, struct view gain,
                             struct view rstd, bool add);

    /* Each of the n (at most 3) projections of the same inp (N, K). */
    void (*linear_forward)(struct backend *be, const struct projection *p, int n, struct view inp);
    /* d_inp (N, K) = sum over n (at most 6: the maps and their adapters) of d_out_i @ weight_i;
     * p[i].out is d_out_i, bias and base are not looked at. */
    void (*linear_backward_input)(struct backend *be, struct view d_inp, const struct projection *p,
                                  int n);
    /* p[i].weight += d_out_i^T @ inp and p[i].bias += column sums of d_out_i when `add`, else =.
     * Here p[i].weight and p[i].bias are the gradients, p[i].out is d_out_i. */
    void (*linear_backward_weight)(struct backend *be, const struct projection *p, int n,
                                   struct view inp, bool add);

    /* Turns each head of x (N, heads*D) in place, in Hugging Face's half-split form: with
     * table (T, D) holding D/2 cosines then D/2 sines of the position n mod T,
     *     x[i] = x[i]*cos - x[i+D/2]*sin,  x[i+D/2] = x[i+D/2]*cos + x[i]*sin.
     * `direction` is 1, or -1 for the way back. */
    void (*rope)(struct backend *be, struct view x, struct view table, int head_dim, int direction);

    /* Causal attention inside each sequence: out (N, H*D) = softmax(q k^T / sqrt(D)) v with
     * q (N, H*D), k and v (N, K*D); query head h uses KV head h / (H/K). Keeps
     * lse (B*H, T), the log of each softmax's denominator. */
    void (*attention_forward)(struct backend *be, struct view out, struct view lse, struct view q,
                              struct view k, struct view v, struct attention_shape s);
    /* Attention of rows that look where their span says (spans (S, SPAN_MEMBERS), dense; every row
     * of out in one span): sequences of any lengths behind one another, shared beginnings, keys kept from
     * earlier calls. out, q (N, H*D); k, v (R, K*D), which may be views of the same rows as q or a
     * store of keys; heads and head_dim of s count. Forward only. NULL in a backend that cannot. */
    void (*attention_spans)(struct backend *be, struct view out, struct view q, struct view k,
                            struct view v, struct view spans, struct attention_shape s);
    /* d_q, d_k, d_v are written. `out` and `lse` are the forward's. */
    void (*attention_backward)(struct backend *be, struct view d_q, struct view d_k,
                               struct view d_v, struct view d_out, struct view out, struct view lse,
                               struct view q, struct view k, struct view v,
                               struct attention_shape s);

    /* out (N, F) = silu(gate) * up */
    void (*swiglu_forward)(struct backend *be, struct view out, struct view gate, struct view up);
    /* In place: gate and up become their gradients, and d_out becomes the forward's out, which
     * the gradient of the next matrix needs. */
    void (*swiglu_backward)(struct backend *be, struct view d_out, struct view gate,
                            struct view up);
    /* The same, but d_out stays. Set where `keeps_outputs` is. */
    void (*swiglu_gradient)(struct backend *be, struct view d_out, struct view gate,
                            struct view up);

    /* losses (1, N) = -log softmax(logits (N, V))[targets (1, N)], 0 where the target is negative.
     * When scale is not 0 the logits become scale * d_loss/d_logits (0 in rows without a target);
     * otherwise their contents are unspecified afterwards. */
    void (*cross_entropy)(struct backend *be, struct view losses, struct view logits,
                          struct view targets, double scale);

    /* The same with the mixture of struct distill for a loss; `teacher` (N, V) is not changed. NULL
     * in a backend that cannot. */
    void (*distill)(struct backend *be, struct view losses, struct view logits, struct view teacher,
                    struct view targets, struct distill d, double scale);

    /* cross_entropy with z * log^2(sum of exp(logits)) added to each loss that has a target, which
     * keeps logits from drifting (PaLM, arXiv 2204.02311, 5). NULL in a backend that cannot. */
    void (*z_cross_entropy)(struct backend *be, struct view losses, struct view logits,
                            struct view targets, double z, double scale);

    /* sums[at] = (or += when add) the sum over a vector x (1, N) of BLOCK_FLOATS, in double. */
    void (*sum)(struct backend *be, struct block *sums, int at, struct view x, bool add);
    /* sums[at] = (or += when add) times * the sum of squares of the gradients of all params. */
    void (*sum_squares)(struct backend *be, struct block *sums, int at, struct block *grads,
                        const struct param *param, int n_params, double times, bool add);
    void (*adamw)(struct backend *be, const struct adamw *step);

    /* --- the same calls again --- */

    /* Both NULL in a backend that has no use for them. Calls of operations between replay_begin and
     * replay_end are the same for the same key, views and scalars included; none of them waits for
     * the device. After `runs` of them they may be recorded. When replay_begin answers true it has
     * done them all itself, and neither they nor replay_end may be called. */
    bool (*replay_begin)(struct backend *be, uint64_t key, int runs);
    void (*replay_end)(struct backend *be);

    /* --- several ranks (ranks.h) --- */

    /* Starts adding up gradients at..at+n of all ranks, in place, behind what was called so
     * far; share_finish waits for (or, on a device, lines up behind) all that were started. */
    void (*share_begin)(struct backend *be, struct block *grads, size_t at, size_t n);
    void (*share_finish)(struct backend *be);
    /* Elements edge[i]..edge[i + 1] of the weights become those of rank i, of n, everywhere; behind
     * what was called so far and before what is called next. Nothing happens with one rank. */
    void (*spread)(struct backend *be, struct block *weights, const size_t *edge, int n);

    void *state; /* the backend's own */
};

/* By name, for --backend; `threads` is 1 or more and only cpu heeds it. E_INPUT for a name that
 * does not exist, E_MISSING for a backend this build or machine lacks. */
enum status backend_open(struct backend **out, const char *name, int threads, struct error *err);
void backend_close(struct backend *be); /* NULL is fine; every block must be released */

/* What backend_open looks up; one file each. */
enum status backend_ref(struct backend **out, int threads, struct error *err);
enum status backend_cpu(struct backend **out, int threads, struct error *err);
enum status backend_cpu_blas(struct backend **out, int threads, struct error *err);
enum status backend_cpu_bf16(struct backend **out, int threads, struct error *err);
enum status backend_cpu_bf16x3(struct backend **out, int threads, struct error *err);
enum status backend_cpu_bf16_plain(struct backend **out, int threads, struct error *err);
enum status backend_cuda(struct backend **out, int threads, struct error *err);
enum status backend_cuda_exact(struct backend **out, int threads, struct error *err);
enum status backend_cuda_f32(struct backend **out, int threads, struct error *err);

/* A part of a view: `cols` columns from `col`, or `rows` rows from `row`. */
static inline struct view view_cols(struct view v, int col, int cols)
{
    v.at += (size_t)col;
    v.cols = cols;
    return v;
}

static inline struct view view_rows(struct view v, int row, int rows)
{
    v.at += (size_t)row * (size_t)v.ld;
    v.rows = rows;
    return v;
}

#endif
