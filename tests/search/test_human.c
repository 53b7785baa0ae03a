#include "search/base/rng.h"
#include "search/human.h"
#include "tests/support/check.h"

static struct shape named(int d, int layers, int q, int kv, int h, int ffn, int vocab, bool tied)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = d;
    s.head_dim = h;
    s.vocab_size = vocab;
    s.tie_word_embeddings = tied;
    shape_set_layers(&s, layers, (struct layer_shape){ q, kv, ffn });
    return s;
}

/* Legal, the same kind of model, the target met, and one factor on everything. */
static double check_human(const struct shape *source, int64_t target)
{
    struct human human;
    struct error err = { 0 };
    CHECK_OK(human_shape(source, target, &human, &err), err);
    CHECK_OK(shape_check(&human.shape, &err), err);
    CHECK_INT(human.params, shape_params(&human.shape));
    CHECK_NEAR(human.error, (double)human.params / (double)target - 1, 1e-12);
    CHECK_INT(human.shape.n_layers, source->n_layers);
    CHECK_INT(human.shape.head_dim, source->head_dim);
    CHECK_INT(human.shape.vocab_size, source->vocab_size);
    CHECK(fabs(human.error) <= HUMAN_TOLERANCE, "target %lld, got %lld (%.3f %%)",
          (long long)target, (long long)human.params, 100 * human.error);
    for (int l = 0; l < source->n_layers; l++) {
        const struct layer_shape *a = &source->layer[l], *b = &human.shape.layer[l];
        CHECK_INT(b->q_heads / b->kv_heads, a->q_heads / a->kv_heads);
        double heads = a->kv_heads * human.factor;
        CHECK(fabs(b->kv_heads - heads) <= 0.5 || b->kv_heads == 1, "heads off the factor");
    }
    return human.error;
}

static void test_catalog(void)
{
    struct shape shapes[] = { named(576, 30, 9, 3, 64, 1536, 49152, true),
                              named(2048, 24, 32, 32, 64, 8192, 49152, true),
                              named(896, 24, 14, 2, 64, 4864, 151936, true),
                              named(2048, 16, 32, 8, 64, 8192, 128256, true),
                              named(2048, 22, 32, 4, 64, 5632, 32000, false) };
    for (int i = 0; i < 5; i++)
        for (double ratio = 0.05; ratio < 0.96; ratio += 0.05)
            check_human(&shapes[i], (int64_t)((double)shape_params(&shapes[i]) * (1 - ratio)));
}

static void test_random_sources(void)
{
    struct rng rng;
    double worst = 0;
    rng_init(&rng, 3);
    for (int i = 0; i < 400; i++) {
        int kv = 1 + (int)rng_below(&rng, 8), h = 8 << rng_below(&rng, 4);
        struct shape s =
            named(64 + (int)rng_below(&rng, 512), 2 + (int)rng_below(&rng, 14),
                  kv * (1 + (int)rng_below(&rng, 4)), kv, h, 96 + (int)rng_below(&rng, 1500),
                  259 + (int)rng_below(&rng, 4000), rng_below(&rng, 2));
        s.qkv_bias = rng_below(&rng, 2);
        s.output_bias = rng_below(&rng, 2);
        for (int l = 0; l < s.n_layers && i % 2; l++) s.layer[l].ffn -= (int)rng_below(&rng, 60);
        double ratio = 0.05 + 0.7 * rng_uniform(&rng);
        double error = check_human(&s, (int64_t)((double)shape_params(&s) * (1 - ratio)));
        worst = fmax(worst, fabs(error));
    }
    printf("worst of 400 random sources: %.3f %%\n", 100 * worst);
}

static void test_the_source_itself_and_refusals(void)
{
    struct shape s = named(576, 30, 9, 3, 64, 1536, 49152, true);
    struct human human;
    struct error err = { 0 };
    CHECK_OK(human_shape(&s, shape_params(&s), &human, &err), err);
    CHECK(shape_equal(&human.shape, &s), "the source at its own size is the source");
    enum status status = human_shape(&s, shape_params(&s) + 1, &human, &err);
    CHECK_INT(status, E_INPUT);
    CHECK_STR(err.text, "a proportional shape with 134515009 parameters: this source gives 64663 "
                        "to 134515008");
    err = (struct error){ 0 };
    status = human_shape(&s, 64662, &human, &err);
    CHECK_INT(status, E_INPUT);
}

int main(void)
{
    test_catalog();
    test_random_sources();
    test_the_source_itself_and_refusals();
    puts("ok");
    return 0;
}
