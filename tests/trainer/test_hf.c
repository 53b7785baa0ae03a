/* Hugging Face folders: configs there and back, both rotary forms, shards, and what is refused. */
#include "tests/support/check.h"
#include <unistd.h>
#include "trainer/formats/file.h"
#include "search/hf_config.h"
#include "trainer/formats/safetensors.h"
#include "trainer/formats/weights.h"

static char dir[] = "/tmp/lathe-hf-XXXXXX";

static const char *at(const char *name)
{
    static char path[2][PATH_ROOM];
    static int turn;
    struct error err = { 0 };
    turn = !turn;
    CHECK_OK(path_join(path[turn], dir, name, &err), err);
    return path[turn];
}

static struct shape small(void)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = 12;
    s.head_dim = 4;
    s.vocab_size = 20;
    shape_set_layers(&s, 3, (struct layer_shape){ 4, 2, 10 });
    return s;
}

/* ---- config.json ------------------------------------------------------------------------- */

static void there_and_back(const struct shape *s)
{
    struct buf json;
    struct emit e;
    struct shape got;
    struct error err = { 0 };
    buf_init(&json, 1 << 16);
    emit_init(&e, &json);
    hf_config_emit(s, &(struct hf_config_extra){ 64, 5, 7 }, &e);
    struct hf_config_extra extra;
    CHECK_OK(hf_config_parse(&got, &extra, json.bytes, json.len, &err), err);
    CHECK(shape_equal(s, &got), "%s", json.bytes);
    CHECK(extra.max_position == 64 && extra.bos_id == 5 && extra.eos_id == 7, "%s", json.bytes);
    buf_release(&json);
}

static void test_configs(void)
{
    struct shape s = small();
    there_and_back(&s);
    s.layer[1] = (struct layer_shape){ 2, 1, 7 };
    there_and_back(&s);
    s.rope_scaling = (struct rope_scaling){ true, 8, 1, 4, 8192 };
    s.rope_theta = 500000;
    s.tie_word_embeddings = true;
    there_and_back(&s);
    s.qkv_bias = true; /* a llama with biases: Hugging Face's qwen2, our llama */
    there_and_back(&s);
    strcpy(s.family, "qwen2");
    there_and_back(&s);
    s.qkv_bias = false;
    there_and_back(&s);
}

#define COMMON                                                                                     \
    "\"hidden_size\":12,\"vocab_size\":20,\"num_hidden_layers\":2,\"num_attention_heads\":3,"      \
    "\"intermediate_size\":8"

static enum status parse(const char *json, struct shape *out, struct error *err)
{
    *err = (struct error){ 0 };
    return hf_config_parse(out, NULL, json, strlen(json), err);
}

static void refuses(const char *members, const char *sentence)
{
    char json[1024];
    struct shape s;
    struct error err;
    snprintf(json, sizeof json, "{" COMMON ",%s}", members);
    CHECK(parse(json, &s, &err) == E_INPUT && strstr(err.text, sentence), "%s: '%s' lacks '%s'",
          members, err.text, sentence);
}

static void test_refusals(void)
{
    refuses("\"model_type\":\"gpt2\"", "model_type: is not one of: llama, qwen2");
    refuses("\"model_type\":\"llama\",\"hidden_act\":\"gelu\"", "hidden_act: is gelu");
    refuses("\"model_type\":\"llama\",\"attention_bias\":true", "attention_bias: is true");
    refuses("\"model_type\":\"llama\",\"mlp_bias\":true", "mlp_bias: is true");
    refuses("\"model_type\":\"qwen2\",\"use_sliding_window\":true", "use_sliding_window");
    refuses("\"model_type\":\"llama\",\"quantization_config\":{}", "quantization_config");
    refuses("\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}",
            "rope_type: is linear");
    refuses("\"model_type\":\"llama\",\"rope_parameters\":{\"rope_type\":\"default\"},"
            "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4}",
            "rope_scaling/rope_type: is linear");
    refuses("\"model_type\":\"llama\",\"num_key_value_heads\":2", "does not divide");
    refuses("\"model_type\":\"llama\",\"per_layer_config\":{\"2\":{}}",
            "per_layer_config/2: is not a layer");
    refuses("\"model_type\":\"llama\",\"per_layer_config\":{\"0\":{\"skip\":[\"attention\"]}}",
            "skip: is not a known");
    refuses("\"hidden_act\":\"silu\"", "model_type: is missing");
}

static void test_rotary_forms(void)
{
    struct shape v4, v5;
    struct error err;
    CHECK_OK(parse("{" COMMON ",\"model_type\":\"llama\",\"rope_theta\":5e5,\"rope_scaling\":{"
                              "\"rope_type\":\"llama3\","
                   "\"factor\":32,\"low_freq_factor\":1,\"high_freq_factor\":4,"
                   "\"original_max_position_embeddings\":8192}}",
                   &v4, &err),
             err);
    CHECK_OK(parse("{" COMMON ",\"model_type\":\"llama\",\"rope_parameters\":{\"rope_theta\":5e5,"
                              "\"rope_type\":\"llama3\","
                   "\"factor\":32,\"low_freq_factor\":1,\"high_freq_factor\":4,"
                   "\"original_max_position_embeddings\":8192}}",
                   &v5, &err),
             err);
    CHECK(shape_equal(&v4, &v5), "v4 and v5 differ");
    CHECK(v4.rope_scaling.llama3 && v4.rope_scaling.factor == 32 && v4.rope_theta == 5e5,
          "not read");
    CHECK_INT(v4.head_dim, 4);
    CHECK_NEAR(v4.norm_eps, 1e-6, 0);
}

#define LLAMA3                                                                                     \
    "\"rope_type\":\"llama3\",\"factor\":32,\"low_freq_factor\":1,\"high_freq_factor\":4,"         \
    "\"original_max_position_embeddings\":64"
#define PARAMETERS ",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":5e5}}"

/* Of the two at once transformers takes rope_scaling, unless it is null or empty. */
static void test_rotary_forms_at_once(void)
{
    struct shape both, empty;
    struct error err;
    CHECK_OK(parse("{" COMMON
                   ",\"model_type\":\"llama\",\"rope_theta\":7e4,\"rope_scaling\":{" LLAMA3
                   "}" PARAMETERS,
                   &both, &err),
             err);
    CHECK_INT(both.rope_scaling.original_max_position, 64);
    CHECK_NEAR(both.rope_theta, 7e4, 0);
    CHECK_OK(
        parse("{" COMMON ",\"model_type\":\"llama\",\"rope_scaling\":{}" PARAMETERS, &empty, &err),
        err);
    CHECK(!empty.rope_scaling.llama3 && empty.rope_theta == 5e5, "an empty rope_scaling counts");
}

/* ---- folders ------------------------------------------------------------------------------- */

struct plan {
    struct tensor tensor[64];
    char name[64][80];
    int n;
};

static enum status add(void *user, const char *name, int rows, int cols, struct error *err)
{
    static float zeros[4096];
    struct plan *plan = user;
    (void)err;
    snprintf(plan->name[plan->n], sizeof plan->name[0], "%s", name);
    plan->tensor[plan->n] = (struct tensor){ .name = plan->name[plan->n],
                                             .type = TENSOR_F32,
                                             .rank = rows ? 2 : 1,
                                             .dim = { rows ? rows : cols, cols },
                                             .bytes = (const void *)zeros };
    plan->n++;
    return OK;
}

static void write_config(const struct shape *s)
{
    struct buf json;
    struct emit e;
    struct error err = { 0 };
    buf_init(&json, 1 << 16);
    emit_init(&e, &json);
    hf_config_emit(s, &(struct hf_config_extra){ 64, -1, -1 }, &e);
    CHECK_OK(file_write(at("config.json"), json.bytes, json.len, &err), err);
    buf_release(&json);
}

static void write_shard(const char *name, const struct tensor *t, int n)
{
    char sha[HASH_HEX];
    struct error err = { 0 };
    CHECK_OK(safetensors_write(at(name), t, n, NULL, NULL, sha, &err), err);
}

static void opens(const char *sentence)
{
    struct weights *w;
    struct error err = { 0 };
    if (!sentence) {
        CHECK_OK(weights_open(&w, dir, &err), err);
        weights_close(w);
    } else {
        CHECK(weights_open(&w, dir, &err) && strstr(err.text, sentence), "'%s' lacks '%s'",
              err.text, sentence);
    }
}

static void test_folder(void)
{
    static struct plan plan;
    struct shape s = small();
    struct error err = { 0 };
    s.layer[2].ffn = 3;
    CHECK_OK(weights_each(&s, &(struct weights_visit){ &plan, add }, &err), err);
    CHECK_INT(plan.n, 3 * 9 + 3);
    int64_t sum = 0;
    for (int i = 0; i < plan.n; i++) sum += tensor_count(&plan.tensor[i]);
    CHECK_INT(sum, shape_params(&s));

    write_config(&s);
    opens("model.safetensors");
    write_shard("model.safetensors", plan.tensor, plan.n);
    opens(NULL);
    write_shard("model.safetensors", plan.tensor, plan.n - 1);
    opens("tensor lm_head.weight is missing");
    add(&plan, "model.layers.0.self_attn.q_norm.weight", 0, 4, &err);
    write_shard("model.safetensors", plan.tensor, plan.n);
    opens("q_norm.weight is not part of");
    plan.n--;
    plan.tensor[3].dim[0]--;
    write_shard("model.safetensors", plan.tensor, plan.n);
    opens("the model's shape asks for");
    plan.tensor[3].dim[0]++;
    plan.tensor[3].type = TENSOR_I32;
    write_shard("model.safetensors", plan.tensor, plan.n);
    opens("has type I32");
    plan.tensor[3].type = TENSOR_F32;

    write_shard("a.safetensors", plan.tensor, 10);
    write_shard("b.safetensors", plan.tensor + 10, plan.n - 10);
    FILE *f = fopen(at("model.safetensors.index.json"), "w");
    fputs("{\"metadata\":{\"total_size\":1},\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"b."
          "safetensors\"}}",
          f);
    fclose(f);
    opens("has type I32"); /* the single file comes first */
    remove(at("model.safetensors"));
    opens(NULL);
    f = fopen(at("model.safetensors.index.json"), "w");
    fputs("{\"weight_map\":{\"x\":\"../a.safetensors\"}}", f);
    fclose(f);
    opens("not a file beside it");
}

static void test_golden(void)
{
    static const char *const names[] = { "llama_gqa_tied", "llama_mha_untied",
                                         "llama_pruned_heads" };
    const char *shared = getenv("LATHE_SHARED_DIR");
    for (int i = 0; i < 3; i++) {
        char path[PATH_ROOM];
        struct weights *w;
        struct error err = { 0 };
        snprintf(path, sizeof path, "%s/golden/%s/model", shared ? shared : "", names[i]);
        if (access(path, R_OK)) continue;
        CHECK_OK(weights_open(&w, path, &err), err);
        CHECK(w->shape.n_layers > 0 && w->max_position > 0, "%s", names[i]);
        weights_close(w);
    }
}

int main(void)
{
    CHECK(mkdtemp(dir), "mkdtemp");
    test_configs();
    test_refusals();
    test_rotary_forms();
    test_rotary_forms_at_once();
    test_folder();
    test_golden();
    struct error err = { 0 };
    CHECK_OK(dir_remove(dir, &err), err);
    puts("ok");
    return 0;
}
