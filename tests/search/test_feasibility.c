#include "search/base/rng.h"
#include "search/feasibility.h"
#include "tests/support/check.h"

static struct shape shape_of(int d, int layers, int q, int kv, int h, int ffn)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = d;
    s.head_dim = h;
    s.vocab_size = 49152;
    s.tie_word_embeddings = true;
    shape_set_layers(&s, layers, (struct layer_shape){ q, kv, ffn });
    return s;
}

static const struct finding *found(const struct feasibility *f, const char *name)
{
    for (int i = 0; i < f->n; i++)
        if (!strcmp(f->finding[i].name, name)) return &f->finding[i];
    return NULL;
}

static void expect(const struct shape *s, struct feasibility_rules rules, const char *name,
                   enum finding_level level, int layer, const char *text)
{
    struct feasibility f;
    feasibility_check(s, &rules, &f);
    const struct finding *finding = found(&f, name);
    CHECK(finding, "no finding %s", name);
    CHECK_INT(finding->level, level);
    CHECK_INT(finding->layer, layer);
    CHECK_STR(finding->text, text);
    CHECK(!f.feasible || level != FINDING_BLOCKS, "%s does not block", name);
}

static void test_findings(void)
{
    struct shape found_469m = shape_of(1226, 24, 19, 19, 64, 3016);
    expect(&found_469m, (struct feasibility_rules){ .hf = true }, "hidden_not_by_heads",
           FINDING_BLOCKS, -1,
           "hidden_size 1226 is no multiple of 19 query heads; transformers refuses the config");
    expect(&found_469m, (struct feasibility_rules){ .tensor_parallel = 2 }, "tensor_parallel_heads",
           FINDING_BLOCKS, 0,
           "19 query heads and 19 KV heads of layer 0 cannot be shared by 2 processes");
    expect(&found_469m, (struct feasibility_rules){ .block = 32 }, "block_hidden", FINDING_BLOCKS,
           -1, "hidden_size 1226 is no whole number of quantisation blocks of 32");
    expect(&found_469m, (struct feasibility_rules){ .block = 256 }, "block_attention",
           FINDING_BLOCKS, 0,
           "attention width 1216 is no whole number of quantisation blocks of 256");
    expect(&found_469m, (struct feasibility_rules){ .gpu = true }, "gemm_8", FINDING_COSTS, -1,
           "hidden_size 1226 is no multiple of 8");
    expect(&found_469m, (struct feasibility_rules){ .memory_bytes = 1000 }, "memory",
           FINDING_BLOCKS, -1, "training needs at least 7514673824 bytes, there are 1000");
    found_469m.layer[3].ffn = 20;
    expect(&found_469m, (struct feasibility_rules){ .decilm = true }, "decilm_ffn", FINDING_BLOCKS,
           0, "3016 FFN channels of layer 0 are no multiple of 256, as DeciLM's loaders round to");
    expect(&found_469m, (struct feasibility_rules){ 0 }, "ffn_below_32", FINDING_COSTS, 3,
           "layer 3 has 20 FFN channels; runtimes treat layers near 0 badly, keep 32 or pad");
    expect(&found_469m, (struct feasibility_rules){ .hf = true }, "layers_differ", FINDING_NOTES,
           -1, "layers differ; a stock Llama loads this shape only padded");
    found_469m.layer[5].q_heads = 38;
    expect(&found_469m, (struct feasibility_rules){ .decilm = true }, "decilm_query_heads",
           FINDING_BLOCKS, 5,
           "layer 5 has 38 query heads, layer 0 has 19; DeciLM has one number for all");
    struct shape smollm = shape_of(576, 30, 9, 3, 64, 1536);
    expect(&smollm,
           (struct feasibility_rules){ .tokens = 1000000, .flops_per_second = 1e9, .seconds = 60 },
           "time", FINDING_BLOCKS, -1, "training takes 1019427 s at that speed, there are 60");
}

static void test_a_good_shape_has_none(void)
{
    struct shape llama = shape_of(2048, 16, 32, 8, 64, 8192);
    struct feasibility f;
    struct feasibility_rules all = {
        .hf = true, .decilm = true, .gpu = true, .tensor_parallel = 8, .block = 256
    };
    feasibility_check(&llama, &all, &f);
    CHECK(f.feasible && !f.n, "%d findings, first %s", f.n, f.n ? f.finding[0].name : "");
    CHECK(f.has_nearest && shape_equal(&f.nearest, &llama), "it is its own nearest");
}

static bool blocks_by_width(const struct shape *s, struct feasibility_rules rules)
{
    struct feasibility f;
    feasibility_check(s, &rules, &f);
    return !f.feasible || found(&f, "gemm_8");
}

/* No uniform shape with fewer changes of heads and hidden size would do. */
static void check_least(const struct shape *s, const struct shape *near,
                        struct feasibility_rules rules)
{
    int r = s->layer[0].q_heads / s->layer[0].kv_heads;
    double best = fabs((double)near->layer[0].kv_heads / s->layer[0].kv_heads - 1) +
                  fabs((double)near->hidden_size / s->hidden_size - 1);
    struct shape tried = *near;
    for (int kv = 1; kv <= 3 * s->layer[0].kv_heads; kv++)
        for (int d = 1; d <= 2 * s->hidden_size; d++) {
            double cost =
                fabs((double)kv / s->layer[0].kv_heads - 1) + fabs((double)d / s->hidden_size - 1);
            if (cost >= best - 1e-12) continue;
            tried.hidden_size = d;
            shape_set_layers(&tried, near->n_layers,
                             (struct layer_shape){ kv * r, kv, near->layer[0].ffn });
            CHECK(blocks_by_width(&tried, rules), "%d KV heads and %d are nearer", kv, d);
        }
}

static void test_nearest(void)
{
    struct rng rng;
    int some = 0;
    rng_init(&rng, 9);
    for (int i = 0; i < 200; i++) {
        int kv = 1 + (int)rng_below(&rng, 6);
        struct shape s =
            shape_of(40 + (int)rng_below(&rng, 120), 2, kv * (1 + (int)rng_below(&rng, 3)), kv,
                     8 << rng_below(&rng, 4), 40 + (int)rng_below(&rng, 900));
        struct feasibility_rules rules = { .hf = rng_below(&rng, 2),
                                           .gpu = rng_below(&rng, 2),
                                           .decilm = rng_below(&rng, 2),
                                           .tensor_parallel = 1 + (int)rng_below(&rng, 4),
                                           .block = rng_below(&rng, 2) ? 32 : 0 };
        bool even = i % 2;
        if (!even) s.layer[1] = (struct layer_shape){ 4, 2, 333 };
        struct feasibility f, again;
        struct error err = { 0 };
        feasibility_check(&s, &rules, &f);
        if (!f.has_nearest) continue;
        some++;
        CHECK_OK(shape_check(&f.nearest, &err), err);
        CHECK(!blocks_by_width(&f.nearest, rules), "the nearest shape is not feasible");
        feasibility_check(&f.nearest, &rules, &again);
        CHECK(shape_equal(&again.nearest, &f.nearest), "the nearest of the nearest is another");
        if (even && i < 40) check_least(&s, &f.nearest, rules);
    }
    CHECK(some > 150, "only %d of 200 had a nearest shape", some);
}

static void test_json(void)
{
    struct shape s = shape_of(6, 1, 4, 2, 8, 32);
    struct feasibility f;
    struct buf text;
    struct emit e;
    feasibility_check(&s, &(struct feasibility_rules){ .hf = true }, &f);
    buf_init(&text, 4096);
    emit_init(&e, &text);
    feasibility_emit(&f, &e);
    const char want[] = "{\"feasible\":false,\"findings\":[{\"name\":\"hidden_not_by_heads\","
                        "\"level\":\"blocks\",\"layer\":null,\"detail\":\"hidden_size 6 is no "
                        "multiple of 4 query heads; transformers refuses the config\"}],"
                        "\"nearest\":{";
    CHECK(!strncmp(text.bytes, want, strlen(want)), "%s", text.bytes);
    buf_release(&text);
    CHECK_INT(f.nearest.hidden_size, 4);
}

int main(void)
{
    test_findings();
    test_a_good_shape_has_none();
    test_nearest();
    test_json();
    puts("ok");
    return 0;
}
