#ifndef TESTS_TRAINER_SLOW_MODEL_H
#define TESTS_TRAINER_SLOW_MODEL_H

/*
 * The model once more, in doubles and in the shortest loops, from weights read out tensor by
 * tensor: what every matrix reads, and which elements a unit has. Shares nothing with the
 * trainer but names of tensors.
 */
#include <math.h>
#include "search/score.h"
#include "tests/trainer/fixture.h"

enum { SLOW_ROWS = 27, SLOW_TIME = 9, SLOW_LAYERS = 3 };

struct slow_model {
    struct shape shape;
    double *norm[2 * SLOW_LAYERS + 1], *att[SLOW_LAYERS], *act[SLOW_LAYERS]; /* inputs */
    const struct scores *mask; /* or NULL: what outputs of heads and channels are multiplied by */
    double loss;               /* mean over the targets */
};

static inline double *slow_read(struct fixture *f, enum model_block which, int layer,
                                const char *name)
{
    char full[96];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "model.layers.%d.%s", layer, name);
    const struct slot *slot = layout_find(&f->model->layout, full);
    if (!slot) return NULL;
    float *values = fixture_read(f, which, slot);
    double *out = calloc(fixture_size(slot), sizeof *out);
    for (size_t i = 0; i < fixture_size(slot); i++) out[i] = values[i];
    free(values);
    return out;
}

static inline double *slow_room(int rows, int cols)
{
    return calloc((size_t)rows * (size_t)cols, sizeof(double));
}

/* out (N, M) += x (N, K) W^T + bias; W and bias are freed. */
static inline void slow_linear(double *out, const double *x, int K, int M, double *W, double *bias)
{
    for (int n = 0; n < SLOW_ROWS; n++)
        for (int m = 0; m < M; m++) {
            if (bias) out[n * M + m] += bias[m];
            for (int k = 0; k < K; k++) out[n * M + m] += x[n * K + k] * W[m * K + k];
        }
    free(W), free(bias);
}

static inline double *slow_norm(const double *x, int C, double eps, double *gain)
{
    double *out = slow_room(SLOW_ROWS, C);
    for (int n = 0; n < SLOW_ROWS; n++) {
        double mean = 0;
        for (int c = 0; c < C; c++) mean += x[n * C + c] * x[n * C + c] / C;
        for (int c = 0; c < C; c++) out[n * C + c] = x[n * C + c] / sqrt(mean + eps) * gain[c];
    }
    free(gain);
    return out;
}

static inline void slow_rope(double *x, int heads, int D, double theta)
{
    for (int n = 0; n < SLOW_ROWS; n++)
        for (int h = 0; h < heads; h++)
            for (int i = 0; i < D / 2; i++) {
                double *a = &x[(n * heads + h) * D + i], *b = a + D / 2, was = *a;
                double angle = (n % SLOW_TIME) * pow(theta, -2.0 * i / D);
                *a = was * cos(angle) - *b * sin(angle);
                *b = *b * cos(angle) + was * sin(angle);
            }
}

static inline double slow_dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static inline void slow_attend(double *out, const double *q, const double *k, const double *v,
                               int H, int K, int D)
{
    for (int n = 0; n < SLOW_ROWS; n++)
        for (int h = 0; h < H; h++) {
            double p[SLOW_TIME], total = 0;
            int first = n - n % SLOW_TIME, g = h / (H / K);
            for (int m = first; m <= n; m++)
                total += p[m - first] =
                    exp(slow_dot(&q[(n * H + h) * D], &k[(m * K + g) * D], D) / sqrt(D));
            for (int m = first; m <= n; m++)
                for (int i = 0; i < D; i++)
                    out[(n * H + h) * D + i] += p[m - first] / total * v[(m * K + g) * D + i];
        }
}

/* Every `span` of n columns has an entry in the mask. */
static inline void slow_mask(double *x, int n, const double *mask, int entries)
{
    for (int i = 0; i < SLOW_ROWS * n; i++) x[i] *= mask[i % n / (n / entries)];
}

static inline double slow_loss(const double *x, int C, int V, const double *head,
                               const int32_t *targets)
{
    double sum = 0;
    int counted = 0;
    for (int n = 0; n < SLOW_ROWS; n++) {
        double total = 0, own = 0;
        if (targets[n] < 0) continue;
        for (int v = 0; v < V; v++) {
            double logit = slow_dot(x + n * C, head + v * C, C);
            total += exp(logit);
            if (v == targets[n]) own = logit;
        }
        sum += log(total) - own;
        counted++;
    }
    return sum / counted;
}

static inline void slow_layer(struct slow_model *s, struct fixture *f, int l, double *x)
{
    int C = s->shape.hidden_size, D = s->shape.head_dim, F = s->shape.layer[l].ffn;
    int H = s->shape.layer[l].q_heads, K = s->shape.layer[l].kv_heads;
    double *q = slow_room(SLOW_ROWS, H * D), *k = slow_room(SLOW_ROWS, K * D);
    double *v = slow_room(SLOW_ROWS, K * D);
    double *gate = slow_room(SLOW_ROWS, F), *up = slow_room(SLOW_ROWS, F);
#define W(name) slow_read(f, MODEL_WEIGHTS, l, name)
    const double *in = s->norm[2 * l] =
        slow_norm(x, C, s->shape.norm_eps, W("input_layernorm.weight"));
    slow_linear(q, in, C, H * D, W("self_attn.q_proj.weight"), W("self_attn.q_proj.bias"));
    slow_linear(k, in, C, K * D, W("self_attn.k_proj.weight"), W("self_attn.k_proj.bias"));
    slow_linear(v, in, C, K * D, W("self_attn.v_proj.weight"), W("self_attn.v_proj.bias"));
    slow_rope(q, H, D, s->shape.rope_theta);
    slow_rope(k, K, D, s->shape.rope_theta);
    s->att[l] = slow_room(SLOW_ROWS, H * D);
    slow_attend(s->att[l], q, k, v, H, K, D);
    if (s->mask) slow_mask(s->att[l], H * D, s->mask->heads[l], s->mask->n_heads[l]);
    slow_linear(x, s->att[l], H * D, C, W("self_attn.o_proj.weight"), W("self_attn.o_proj.bias"));
    in = s->norm[2 * l + 1] =
        slow_norm(x, C, s->shape.norm_eps, W("post_attention_layernorm.weight"));
    slow_linear(gate, in, C, F, W("mlp.gate_proj.weight"), NULL);
    slow_linear(up, in, C, F, W("mlp.up_proj.weight"), NULL);
    s->act[l] = slow_room(SLOW_ROWS, F);
    for (int i = 0; i < SLOW_ROWS * F; i++) s->act[l][i] = gate[i] / (1 + exp(-gate[i])) * up[i];
    if (s->mask) slow_mask(s->act[l], F, s->mask->ffn[l], s->mask->n_ffn[l]);
    slow_linear(x, s->act[l], F, C, W("mlp.down_proj.weight"), W("mlp.down_proj.bias"));
#undef W
    free(q), free(k), free(v), free(gate), free(up);
}

/* What every matrix reads when the fixture's batch goes through, and the loss. */
static inline void slow_run_masked(struct slow_model *s, struct fixture *f,
                                   const struct scores *mask)
{
    *s = (struct slow_model){ .shape = *model_shape(f->model), .mask = mask };
    int C = s->shape.hidden_size;
    double *table = slow_read(f, MODEL_WEIGHTS, -1, "model.embed_tokens.weight");
    double *x = slow_room(SLOW_ROWS, C);
    for (int n = 0; n < SLOW_ROWS; n++)
        memcpy(x + n * C, table + f->ids[n] * C, (size_t)C * sizeof *x);
    for (int l = 0; l < SLOW_LAYERS; l++) slow_layer(s, f, l, x);
    s->norm[2 * SLOW_LAYERS] =
        slow_norm(x, C, s->shape.norm_eps, slow_read(f, MODEL_WEIGHTS, -1, "model.norm.weight"));
    double *head = slow_read(f, MODEL_WEIGHTS, -1, "lm_head.weight");
    s->loss = slow_loss(s->norm[2 * SLOW_LAYERS], C, s->shape.vocab_size, head ? head : table,
                        f->targets);
    free(table), free(head), free(x);
}

static inline void slow_run(struct slow_model *s, struct fixture *f)
{
    slow_run_masked(s, f, NULL);
}

static inline void slow_release(struct slow_model *s)
{
    for (int i = 0; i <= 2 * SLOW_LAYERS; i++) free(s->norm[i]);
    for (int l = 0; l < SLOW_LAYERS; l++) free(s->att[l]), free(s->act[l]);
}

/* Does element (row, col) of the tensor belong to unit j of a type, in layer l? Written from the
 * table of groups (search/group.h) for whole KV groups and query heads. */
static inline bool slow_owns(const struct shape *s, const struct slot *slot, int row, int col,
                             enum group_type type, enum head_unit unit, int l, int j)
{
    bool out = slot->kind == SLOT_O || slot->kind == SLOT_DOWN;
    bool bias = slot->kind == SLOT_Q_BIAS || slot->kind == SLOT_K_BIAS || slot->kind == SLOT_V_BIAS;
    if (type == GROUP_STEM) return !bias && (out ? row : col) == j;
    if (slot->layer != l) return false;
    if (type == GROUP_FFN)
        return slot->kind == SLOT_DOWN                            ? col == j
               : slot->kind == SLOT_GATE || slot->kind == SLOT_UP ? row == j
                                                                  : false;
    int r = s->layer[l].q_heads / s->layer[l].kv_heads, D = s->head_dim;
    bool query = unit == HEAD_UNIT_QUERY;
    int span = query ? D : D * r;
    switch (slot->kind) {
    case SLOT_Q: return row / span == j;
    case SLOT_Q_BIAS:
    case SLOT_O: return col / span == j;
    case SLOT_K:
    case SLOT_V: return !query && row / D == j;
    case SLOT_K_BIAS:
    case SLOT_V_BIAS: return !query && col / D == j;
    default: return false;
    }
}

#endif
