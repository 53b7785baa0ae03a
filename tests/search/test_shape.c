#include "search/base/rng.h"
#include "search/cost.h"
#include "search/group.h"
#include "search/search_options.h"
#include "tests/support/check.h"

/* ---- reading --------------------------------------------------------------------------- */

static const char smollm[] =
    "{\"schema\":\"lathe.shape/1\",\"hidden_size\":576,\"head_dim\":64,\"vocab_size\":49152,"
    "\"tie_word_embeddings\":true,\"rope_theta\":10000.0,\"norm_eps\":1e-5,\"n_layers\":30,"
    "\"layers\":[{\"q_heads\":9,\"kv_heads\":3,\"ffn\":1536}]}";

static struct shape parsed(const char *text)
{
    struct shape s;
    struct error err = { 0 };
    CHECK_OK(shape_parse(&s, text, strlen(text), &err), err);
    return s;
}

static void refused(const char *text, const char *want, const char *pointer)
{
    struct shape s;
    struct error err = { 0 };
    enum status status = shape_parse(&s, text, strlen(text), &err);
    CHECK_INT(status, E_INPUT);
    CHECK_STR(err.text, want);
    CHECK_STR(err.pointer, pointer);
}

#define HEAD "{\"hidden_size\":64,\"head_dim\":8,\"vocab_size\":300,"

static void test_refusals(void)
{
    refused("{}", "hidden_size: is missing", "/hidden_size");
    refused(HEAD "\"layers\":[]}", "layers: needs at least one layer", "/layers");
    refused(HEAD "\"layers\":[{\"q_heads\":4,\"kv_heads\":3,\"ffn\":8}]}",
            "layer 0: kv_heads 3 does not divide q_heads 4", "");
    refused(HEAD "\"layers\":[{\"q_heads\":0,\"ffn\":8}]}",
            "layers/0/q_heads: is 0, outside 1..1024", "/layers/0/q_heads");
    refused(HEAD "\"n_layers\":3,\"layers\":[{\"q_heads\":1,\"ffn\":8},{\"q_heads\":1,\"ffn\":8}]}",
            "n_layers: is 3, but layers has 2 elements", "/n_layers");
    refused(HEAD "\"colour\":1,\"layers\":[{\"q_heads\":1,\"ffn\":8}]}",
            "colour: is not a known field", "/colour");
    refused(HEAD "\"family\":\"gpt\",\"layers\":[{\"q_heads\":1,\"ffn\":8}]}",
            "family: is not one of: llama, qwen2", "/family");
    refused("{\"hidden_size\":64,\"head_dim\":7,\"vocab_size\":300,"
            "\"layers\":[{\"q_heads\":1,\"ffn\":8}]}",
            "head_dim 7 is odd", "");
    refused(HEAD "\"rope_theta\":0,\"layers\":[{\"q_heads\":1,\"ffn\":8}]}",
            "rope_theta is 0, outside 0..1e12 (0 excluded)", "");
    refused(HEAD "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,"
                 "\"high_freq_factor\":1,\"original_max_position_embeddings\":8192},"
                 "\"layers\":[{\"q_heads\":1,\"ffn\":8}]}",
            "rope_scaling needs 0 < low_freq_factor < high_freq_factor", "");
}

/* Apple's OpenELM-270M as its configuration says it. */
static void test_openelm(void)
{
    static const int ffn[] = { 768,  1024, 1280, 1536, 1792, 2048, 2560, 2816,
                               3072, 3328, 3584, 3840, 4352, 4608, 4864, 5120 };
    struct shape s = parsed(
        "{\"activation_fn_name\":\"swish\",\"ffn_dim_divisor\":256,\"ffn_multipliers\":[0.5,0.73,"
        "0.97,1.2,1.43,1.67,1.9,2.13,2.37,2.6,2.83,3.07,3.3,3.53,3.77,4.0],\"ffn_with_glu\":true,"
        "\"head_dim\":64,\"model_dim\":1280,\"num_kv_heads\":[3,3,3,3,3,4,4,4,4,4,4,4,5,5,5,5],"
        "\"num_query_heads\":[12,12,12,12,12,16,16,16,16,16,16,16,20,20,20,20],"
        "\"num_transformer_layers\":16,\"rope_freq_constant\":10000,"
        "\"share_input_output_layers\":true,\"vocab_size\":32000}");
    CHECK_INT(s.n_layers, 16);
    for (int l = 0; l < 16; l++) CHECK_INT(s.layer[l].ffn, ffn[l]);
    CHECK_INT(s.layer[4].q_heads, 12);
    CHECK_INT(s.layer[15].kv_heads, 5);
    CHECK(s.tie_word_embeddings, "not tied");
    refused("{\"model_dim\":64,\"head_dim\":8,\"vocab_size\":300,\"num_transformer_layers\":2,"
            "\"num_query_heads\":[1,2],\"num_kv_heads\":[1],\"ffn_multipliers\":[1,2]}",
            "num_kv_heads: has 1 elements for 2 layers", "/num_kv_heads");
    refused("{\"model_dim\":64,\"head_dim\":8,\"vocab_size\":300,\"num_transformer_layers\":1,"
            "\"num_query_heads\":[1],\"num_kv_heads\":[1],\"ffn_multipliers\":[1e6]}",
            "layer 0: ffn is 262145, outside 1..262144", "");
}

/* ---- the content address ------------------------------------------------------------------ */

static void test_the_hash_is_the_canonical_text(void)
{
    struct shape s = parsed(HEAD "\"layers\":[{\"q_heads\":4,\"kv_heads\":2,\"ffn\":24}]}");
    const char canonical[] =
        "{\"family\":\"llama\",\"head_dim\":8,\"hidden_size\":64,\"layers\":[{\"ffn\":24,"
        "\"kv_heads\":2,\"q_heads\":4}],\"norm_eps\":0.00001,\"rope_theta\":10000,\"schema\":"
        "\"lathe.shape/1\",\"tie_word_embeddings\":false,\"vocab_size\":300}";
    char got[HASH_HEX], want[HASH_HEX];
    shape_hash(&s, got);
    hash_hex(canonical, strlen(canonical), want);
    CHECK_STR(got, want);
}

static struct shape random_shape(struct rng *rng)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = 1 + (int)rng_below(rng, 300);
    s.head_dim = 2 + 2 * (int)rng_below(rng, 40);
    s.vocab_size = 1 + (int)rng_below(rng, 1000);
    s.tie_word_embeddings = rng_below(rng, 2);
    s.qkv_bias = rng_below(rng, 2);
    s.output_bias = rng_below(rng, 2);
    if (rng_below(rng, 2)) strcpy(s.family, "qwen2");
    s.rope_theta = 1 + 1e6 * rng_uniform(rng);
    s.norm_eps = 1e-6;
    if (rng_below(rng, 2)) s.rope_scaling = (struct rope_scaling){ true, 32, 1, 4.5, 8192 };
    s.n_layers = 1 + (int)rng_below(rng, SHAPE_MAX_LAYERS);
    for (int l = 0; l < s.n_layers; l++) {
        int kv = 1 + (int)rng_below(rng, 9);
        s.layer[l] = (struct layer_shape){ kv * (1 + (int)rng_below(rng, 5)), kv,
                                           1 + (int)rng_below(rng, 900) };
    }
    return s;
}

static void test_printing_and_reading_return_the_shape(void)
{
    struct rng rng;
    rng_init(&rng, 1);
    for (int i = 0; i < 200; i++) {
        struct shape s = random_shape(&rng), back;
        struct buf text;
        struct emit e;
        buf_init(&text, SHAPE_MAX_JSON);
        emit_init(&e, &text);
        shape_emit(&s, &e);
        CHECK(!text.failed, "too long");
        back = parsed(text.bytes);
        CHECK(shape_equal(&s, &back), "%s", text.bytes);
        buf_release(&text);

        char a[HASH_HEX], b[HASH_HEX];
        shape_hash(&s, a);
        shape_hash(&back, b);
        CHECK_STR(a, b);
        back.layer[back.n_layers - 1].ffn++;
        shape_hash(&back, b);
        CHECK(strcmp(a, b) && !shape_equal(&s, &back), "another shape, the same hash");
    }
}

/* ---- counting ------------------------------------------------------------------------------ */

/* Tensor by tensor. */
static int64_t slow_params(const struct shape *s)
{
    int64_t d = s->hidden_size, h = s->head_dim, n = 0;
    n += s->vocab_size * d;
    if (!s->tie_word_embeddings) n += s->vocab_size * d;
    for (int l = 0; l < s->n_layers; l++) {
        int64_t q = s->layer[l].q_heads * h, k = s->layer[l].kv_heads * h, f = s->layer[l].ffn;
        n += q * d + k * d + k * d + d * q + f * d + f * d + d * f + d + d;
        if (s->qkv_bias) n += q + k + k;
        if (s->output_bias) n += d + d;
    }
    return n + d;
}

/* What a unit weighs is what the model loses without it. */
static void check_group(const struct shape *s, enum group_type type, enum head_unit unit, int l)
{
    struct shape less = *s;
    int n = group_count(s, type, unit, l);
    group_set_count(&less, type, unit, l, n - 1);
    int64_t lost = slow_params(s) - slow_params(&less);
    CHECK_INT(group_params(s, type, unit, l), lost);
    int64_t embedding = type == GROUP_STEM ? s->vocab_size * (s->tie_word_embeddings ? 1 : 2) : 0;
    CHECK_INT(group_params_non_embedding(s, type, unit, l), lost - embedding);
}

static void test_counts(void)
{
    struct rng rng;
    rng_init(&rng, 2);
    for (int i = 0; i < 200; i++) {
        struct shape s = random_shape(&rng);
        int l = (int)rng_below(&rng, (uint64_t)s.n_layers);
        CHECK_INT(shape_params(&s), slow_params(&s));
        for (int t = 0; t < GROUP_TYPES; t++)
            for (int u = 0; u < HEAD_UNITS; u++) check_group(&s, t, u, l);
    }
    struct shape s = parsed(smollm);
    CHECK_INT(shape_params(&s), 134515008); /* SmolLM-135M as published */
    CHECK_INT(shape_params_non_embedding(&s), 134515008 - 49152 * 576);
    CHECK(shape_is_uniform(&s), "it is");
    struct cost cost = cost_of(&s, 2048);
    CHECK_INT(cost.flops_per_token, 6LL * 134515008 + 6LL * 30 * 9 * 64 * 2048);
    CHECK_INT(cost.kv_bytes_per_token, 30 * 2 * 3 * 64 * 2);
}

/* ---- options ------------------------------------------------------------------------------- */

static void options_say(const char *text, const char *want)
{
    struct search_options o;
    struct error err = { 0 };
    struct field f;
    json_t *json = field_parse(text, strlen(text), &err);
    field_root(&f, json, &err);
    search_options_read(&o, &f);
    CHECK_STR(err.text, want);
    json_decref(json);
}

static void test_options_refuse(void)
{
    options_say("{}", "stop: is missing: say when to stop by one of ratio, params, tokens, steps");
    options_say("{\"stop\":{\"ratio\":0.5,\"params\":9}}",
                "stop: needs exactly one of ratio, params, tokens, steps");
    options_say("{\"stop\":{\"ratio\":1}}", "stop/ratio: is 1, outside 0..1 (both excluded)");
    options_say("{\"stop\":{\"ratio\":0.5},\"space\":{\"types\":[\"depth\"]}}",
                "space/types: 'depth' is not one of: heads, ffn, stem");
    options_say("{\"stop\":{\"ratio\":0.5},\"snapshots\":{\"ratios\":[0.2,0.1]}}",
                "snapshots/ratios: must ascend, each above 0 and below 1");
    options_say("{\"stop\":{\"tokens\":5},\"schedule\":{\"fit_steps\":10}}",
                "schedule: fit_steps needs a stop by ratio or params");
    options_say("{\"stop\":{\"ratio\":0.5},\"schedule\":{\"steps_per_unit\":2,\"fit_steps\":10}}",
                "schedule/fit_steps: sets steps_per_unit and channels_per_unit; give it or them");
    options_say("{\"stop\":{\"ratio\":0.5},\"schedule\":{\"rounds\":3,\"fit_steps\":10}}",
                "schedule/rounds: leaves no room for fit_steps or channels_per_unit");
    options_say("{\"stop\":{\"steps\":50},\"schedule\":{\"rounds\":3}}",
                "schedule: rounds needs a stop by ratio or params");
    options_say("{\"stop\":{\"ratio\":0.5},\"schedule\":{\"calibration_steps\":2}}",
                "schedule/calibration_steps: is more than the 1 steps of a unit");
    options_say("{\"stop\":{\"ratio\":0.5,\"round_to\":9}}",
                "stop/round_to: is not one of: 8, 32, 64, 128, 256");
    options_say("{\"stop\":{\"ratio\":0.5},\"criterion\":{\"reduce\":\"mean\",\"normalise\":"
                "\"parameter\"}}",
                "criterion/reduce: mean and normalise parameter both divide by the parameters");
    options_say("{\"stop\":{\"ratio\":0.5},\"criterion\":{\"name\":\"flap\",\"abs\":\"after\"}}",
                "criterion/abs: after is known for param_first, without max and ema");
    options_say("{\"stop\":{\"ratio\":0.5},\"criterion\":{\"normalise\":\"millisecond\"}}",
                "criterion/unit_milliseconds: is missing, and so is latency: normalise millisecond "
                "divides by them");
    options_say(
        "{\"stop\":{\"ratio\":0.5},\"criterion\":{\"normalise\":\"millisecond\",\"latency\":"
        "{\"ffn\":{\"units\":[8,4],\"milliseconds\":[1,2]}}}}",
        "criterion/latency/ffn/units: must ascend");
    options_say(
        "{\"stop\":{\"ratio\":0.5},\"criterion\":{\"normalise\":\"millisecond\",\"latency\":"
        "{\"ffn\":{\"units\":[8],\"milliseconds\":[1,2]}}}}",
        "criterion/latency/ffn/units: needs two counts or more, and as many milliseconds");
    options_say("{\"stop\":{\"ratio\":0.5},\"space\":{\"layers\":{\"from\":3,\"to\":2}}}",
                "space/layers/to: is 2, before 'from'");
    options_say(
        "{\"stop\":{\"ratio\":0.5},\"space\":{\"scope\":\"per_layer\",\"index\":\"shared\"}}",
        "space/index: shared needs scope uniform");
    options_say("{\"stop\":{\"ratio\":0.5},\"speed\":1}", "speed: is not a known field");
}

static struct buf printed(const struct search_options *o)
{
    struct buf text;
    struct emit e;
    buf_init(&text, 64 * 1024);
    emit_init(&e, &text);
    search_options_emit(o, &e);
    return text;
}

static void test_options_return(const char *json)
{
    struct search_options o;
    struct error err = { 0 };
    struct field f;
    struct buf once, twice;
    json_t *doc = field_parse(json, strlen(json), &err);
    field_root(&f, doc, &err);
    CHECK_OK(search_options_read(&o, &f), err);
    json_decref(doc);
    once = printed(&o);
    doc = field_parse(once.bytes, once.len, &err);
    field_root(&f, doc, &err);
    struct search_options back;
    CHECK_OK(search_options_read(&back, &f), err);
    json_decref(doc);
    twice = printed(&back);
    CHECK_STR(once.bytes, twice.bytes);
    CHECK(!memcmp(&o.space, &back.space, sizeof o.space), "spaces differ");
    CHECK(!memcmp(&o.schedule, &back.schedule, sizeof o.schedule), "schedules differ");
    CHECK(o.stop.kind == back.stop.kind && o.stop.count == back.stop.count, "stops differ");
    CHECK_INT(back.stop.round_to, o.stop.round_to);
    CHECK(o.n_snapshots == back.n_snapshots && o.update == back.update, "the rest differs");
    CHECK_STR(o.scoring.name, back.scoring.name);
    CHECK(!memcmp(o.scoring.unit_milliseconds, back.scoring.unit_milliseconds,
                  sizeof o.scoring.unit_milliseconds),
          "milliseconds differ");
    CHECK(!memcmp(o.scoring.latency, back.scoring.latency, sizeof o.scoring.latency),
          "latencies differ");
    buf_release(&once);
    buf_release(&twice);
}

int main(void)
{
    test_refusals();
    test_openelm();
    test_the_hash_is_the_canonical_text();
    test_printing_and_reading_return_the_shape();
    test_counts();
    test_options_refuse();
    test_options_return("{\"stop\":{\"ratio\":0.7}}");
    test_options_return(
        "{\"stop\":{\"params\":70000},\"update\":\"obs\",\"criterion\":{\"name\":\"flap\"},"
        "\"space\":{\"types\":[\"ffn\",\"heads\"],\"scope\":\"per_layer\",\"head_unit\":\"query\","
        "\"floors\":{\"ffn\":3},\"layer_floors\":[{\"layer\":2,\"heads\":1,\"ffn\":7}],"
        "\"frozen_layers\":[0,5]},\"schedule\":{\"warmup_steps\":4,\"fit_steps\":77,"
        "\"credits\":{\"heads\":9}},\"snapshots\":{\"ratios\":[0.1,0.25]}}");
    test_options_return(
        "{\"stop\":{\"ratio\":0.4,\"round_to\":64},\"schedule\":{\"rounds\":4,\"steps_per_unit\":"
        "30,"
        "\"calibration_steps\":5},\"criterion\":{\"name\":\"saap\",\"normalise\":\"millisecond\","
        "\"unit_milliseconds\":{\"heads\":3,\"ffn\":0.5},\"embedding_in_stem\":false}}");
    test_options_return(
        "{\"stop\":{\"ratio\":0.4},\"space\":{\"index\":\"shared\",\"layers\":{\"from\":1,\"to\":4}"
        "},"
        "\"criterion\":{\"normalise\":\"millisecond\",\"latency\":{\"stem\":{\"units\":[8,16,32],"
        "\"milliseconds\":[1,1.5,4]}}}}");
    puts("ok");
    return 0;
}
