#include "search/feasibility.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include "search/cost.h"
#include "search/nearest_shape.h"

static const char *const level_names[] = { "notes", "costs", "blocks" };

/* ---- findings ------------------------------------------------------------------------------- */

static void PRINTF_LIKE(5, 6) find(struct feasibility *out, const char *name,
                                   enum finding_level level, int layer, const char *fmt, ...)
{
    struct finding *finding = &out->finding[out->n++];
    *finding = (struct finding){ .name = name, .level = level, .layer = layer };
    va_list args;
    va_start(args, fmt);
    vsnprintf(finding->text, sizeof finding->text, fmt, args);
    va_end(args);
    if (level == FINDING_BLOCKS) out->feasible = false;
}

/* A width of every layer, for rules that hold for layers. */
typedef int layer_width(const struct shape *s, int l);

static int ffn_of(const struct shape *s, int l) { return s->layer[l].ffn; }

static int attention_of(const struct shape *s, int l) { return s->layer[l].q_heads * s->head_dim; }

static int hidden_of(const struct shape *s, int l) { return (void)l, s->hidden_size; }

/* The first layer whose width is no multiple of m, or -1. */
static int first_off(const struct shape *s, layer_width *width, int m)
{
    for (int l = 0; l < s->n_layers; l++)
        if (width(s, l) % m) return l;
    return -1;
}

static void check_hf(const struct shape *s, struct feasibility *out)
{
    int most = 0;
    for (int l = 0; l < s->n_layers; l++)
        if (s->layer[l].q_heads > most) most = s->layer[l].q_heads;
    if (s->hidden_size % most)
        find(out, "hidden_not_by_heads", FINDING_BLOCKS, -1,
             "hidden_size %d is no multiple of %d query heads; transformers refuses the config",
             s->hidden_size, most);
    if (!shape_is_uniform(s))
        find(out, "layers_differ", FINDING_NOTES, -1,
             "layers differ; a stock Llama loads this shape only padded");
}

static void check_tensor_parallel(const struct shape *s, int n, struct feasibility *out)
{
    for (int l = 0; l < s->n_layers; l++) {
        if (heads_divide(s->layer[l].q_heads, s->layer[l].kv_heads, n)) continue;
        find(out, "tensor_parallel_heads", FINDING_BLOCKS, l,
             "%d query heads and %d KV heads of layer %d cannot be shared by %d processes",
             s->layer[l].q_heads, s->layer[l].kv_heads, l, n);
        break;
    }
    int l = first_off(s, ffn_of, n);
    if (l >= 0)
        find(out, "tensor_parallel_ffn", FINDING_BLOCKS, l,
             "%d FFN channels of layer %d cannot be shared by %d processes", s->layer[l].ffn, l, n);
    if (s->vocab_size % n)
        find(out, "tensor_parallel_vocab", FINDING_COSTS, -1,
             "a vocabulary of %d is padded to be shared by %d processes", s->vocab_size, n);
}

static void check_block(const struct shape *s, const char *name, const char *what,
                        layer_width *width, int block, struct feasibility *out)
{
    int l = first_off(s, width, block);
    if (l < 0) return;
    find(out, name, FINDING_BLOCKS, width == hidden_of ? -1 : l,
         "%s %d is no whole number of quantisation blocks of %d", what, width(s, l), block);
}

static void check_decilm(const struct shape *s, struct feasibility *out)
{
    for (int l = 1; l < s->n_layers; l++) {
        if (s->layer[l].q_heads == s->layer[0].q_heads) continue;
        find(out, "decilm_query_heads", FINDING_BLOCKS, l,
             "layer %d has %d query heads, layer 0 has %d; DeciLM has one number for all", l,
             s->layer[l].q_heads, s->layer[0].q_heads);
        break;
    }
    int l = first_off(s, ffn_of, 256);
    if (l >= 0)
        find(out, "decilm_ffn", FINDING_BLOCKS, l,
             "%d FFN channels of layer %d are no multiple of 256, as DeciLM's loaders round to",
             s->layer[l].ffn, l);
}

static void check_thin_ffn(const struct shape *s, struct feasibility *out)
{
    for (int l = 0; l < s->n_layers; l++) {
        if (s->layer[l].ffn >= 32) continue;
        find(out, "ffn_below_32", FINDING_COSTS, l,
             "layer %d has %d FFN channels; runtimes treat layers near 0 badly, keep 32 or pad", l,
             s->layer[l].ffn);
        return;
    }
}

static void check_gemm(const struct shape *s, const char *name, enum finding_level level, int m,
                       struct feasibility *out)
{
    layer_width *const widths[] = { hidden_of, attention_of, ffn_of };
    const char *const names[] = { "hidden_size", "attention width", "FFN width" };
    for (int i = 0; i < 3; i++) {
        int l = first_off(s, widths[i], m);
        if (l < 0) continue;
        find(out, name, level, i ? l : -1, "%s %d is no multiple of %d", names[i], widths[i](s, l),
             m);
        return;
    }
}

static void check_budget(const struct shape *s, const struct feasibility_rules *r,
                         struct feasibility *out)
{
    int64_t bytes = 16 * shape_params(s);
    if (r->memory_bytes && bytes > r->memory_bytes)
        find(out, "memory", FINDING_BLOCKS, -1,
             "training needs at least %" PRId64 " bytes, there are %" PRId64, bytes,
             r->memory_bytes);
    if (!r->tokens || !(r->flops_per_second > 0) || !(r->seconds > 0)) return;
    struct cost cost = cost_of(s, r->context ? r->context : 2048);
    double seconds = (double)r->tokens * (double)cost.flops_per_token / r->flops_per_second;
    if (seconds > r->seconds)
        find(out, "time", FINDING_BLOCKS, -1, "training takes %.0f s at that speed, there are %.0f",
             seconds, r->seconds);
}

void feasibility_check(const struct shape *s, const struct feasibility_rules *r,
                       struct feasibility *out)
{
    out->n = 0;
    out->feasible = true;
    if (r->hf) check_hf(s, out);
    if (r->tensor_parallel > 1) check_tensor_parallel(s, r->tensor_parallel, out);
    if (r->block > 1) {
        check_block(s, "block_hidden", "hidden_size", hidden_of, r->block, out);
        check_block(s, "block_attention", "attention width", attention_of, r->block, out);
        check_block(s, "block_ffn", "FFN width", ffn_of, r->block, out);
    }
    if (r->decilm) check_decilm(s, out);
    check_thin_ffn(s, out);
    if (r->gpu) {
        check_gemm(s, "gemm_8", FINDING_COSTS, 8, out);
        check_gemm(s, "gemm_64", FINDING_NOTES, 64, out);
    }
    check_budget(s, r, out);
    out->has_nearest = nearest_shape(s, r, &out->nearest);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

void feasibility_emit(const struct feasibility *f, struct emit *e)
{
    emit_begin(e, '{');
    emit_kv_bool(e, "feasible", f->feasible);
    emit_key(e, "findings");
    emit_begin(e, '[');
    for (int i = 0; i < f->n; i++) {
        emit_begin(e, '{');
        emit_kv_string(e, "name", f->finding[i].name);
        emit_kv_string(e, "level", level_names[f->finding[i].level]);
        emit_key(e, "layer");
        if (f->finding[i].layer < 0)
            emit_null(e);
        else
            emit_int(e, f->finding[i].layer);
        emit_kv_string(e, "detail", f->finding[i].text);
        emit_end(e);
    }
    emit_end(e);
    emit_key(e, "nearest");
    if (f->has_nearest)
        shape_emit(&f->nearest, e);
    else
        emit_null(e);
    emit_end(e);
}

enum status feasibility_rules_read(struct feasibility_rules *r, struct field *f)
{
    *r = (struct feasibility_rules){ 0 };
    r->hf = field_bool_or(f, "hf", false);
    r->decilm = field_bool_or(f, "decilm", false);
    r->gpu = field_bool_or(f, "gpu", false);
    r->tensor_parallel = (int)field_int_or(f, "tensor_parallel", 1, 1024, 0);
    r->block = (int)field_int_or(f, "block", 0, 256, 0);
    if (r->block && r->block != 32 && r->block != 256)
        field_fail(f, "block", "is not one of: 32, 256");
    r->context = (int)field_int_or(f, "context", 1, 1 << 20, 0);
    r->memory_bytes = field_int_or(f, "memory_bytes", 1, INT64_MAX, 0);
    r->tokens = field_int_or(f, "tokens", 1, INT64_MAX, 0);
    r->flops_per_second = field_double_or(f, "flops_per_second", 0, 1e24, 0);
    r->seconds = field_double_or(f, "seconds", 0, 1e12, 0);
    return field_end(f);
}
