/* Exports: every format reads back as the same model, to the bit where nothing is rounded; padded
 * models have the same logits; what a format cannot hold is refused in words. */
#include <fcntl.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "trainer/data/tokenizer.h"
#include "trainer/export/pad.h"
#include "trainer/export/runtimes.h"
#include "trainer/formats/file.h"
#include "trainer/model_folder.h"
#include "trainer/parity.h"
#include "trainer/run.h"

static char root[] = "/tmp/lathe-export-XXXXXX";

enum { VOCAB = 257 };

static struct shape uniform(bool biases)
{
    struct shape s;
    shape_init(&s);
    s.hidden_size = 48, s.head_dim = 8, s.vocab_size = VOCAB;
    s.qkv_bias = biases;
    s.tie_word_embeddings = biases;
    strcpy(s.family, biases ? "qwen2" : "llama");
    shape_set_layers(&s, 2, (struct layer_shape){ 6, 2, 96 });
    return s;
}

/* Nothing divides anything. */
static struct shape uneven(void)
{
    struct shape s = uniform(false);
    s.hidden_size = 50;
    shape_set_layers(&s, 3, (struct layer_shape){ 4, 2, 70 });
    s.layer[1] = (struct layer_shape){ 5, 5, 33 };
    s.layer[2] = (struct layer_shape){ 3, 1, 64 };
    return s;
}

static struct shape scaled(void)
{
    struct shape s = uniform(false);
    s.rope_theta = 500000;
    s.rope_scaling = (struct rope_scaling){ true, 8, 1, 4, 8192 };
    return s;
}

/* A random model as a folder, opened. */
static struct weights *source_of(const struct shape *shape, const char *name)
{
    char path[128];
    struct error err = { 0 };
    struct backend *be;
    struct model *model;
    struct weights *w;
    struct model_options options = { .batch_size = 1, .sequence_length = 1 };
    struct model_folder_extra extra = { NULL, 512, -1 };
    char sha256[HASH_HEX];
    snprintf(path, sizeof path, "%s/%s", root, name);
    CHECK_OK(backend_open(&be, "ref", 1, &err), err);
    CHECK_OK(model_open(&model, be, shape, shape, &options, &err), err);
    model_init(model, 7);
    for (int i = 0; i < model->layout.n_slots; i++) {
        const struct slot *slot = &model->layout.slot[i];
        float bias[64];
        for (int c = 0; c < slot->cols && c < 64; c++) bias[c] = 0.1f * (float)(c % 7 - 3);
        if (strstr(slot->name, ".bias")) model_write(model, MODEL_WEIGHTS, slot, bias);
    }
    CHECK_OK(model_folder_write(model, path, &extra, sha256, &err), err);
    model_close(model);
    backend_close(be);
    CHECK_OK(weights_open(&w, path, &err), err);
    return w;
}

static struct weights *exported(struct weights *w, enum export_format format, const char *type,
                                struct export_result *result)
{
    static int n;
    char dir[160], path[256];
    struct error err = { 0 };
    struct weights *copy;
    struct export_spec spec = { format, quant_type_named(type), NULL, 512, { .name = "a | b" } };
    snprintf(dir, sizeof dir, "%s/out-%d", root, n++);
    CHECK_OK(dir_make(dir, &err), err);
    CHECK_OK(export_model(w, &spec, dir, result, &err), err);
    snprintf(path, sizeof path, "%s/%s", dir, result->opens_at);
    if (!*result->opens_at) path[strlen(path) - 1] = '\0';
    CHECK_OK(weights_open(&copy, path, &err), err);
    return copy;
}

/* ---- the same numbers ---------------------------------------------------------------------- */

enum { MOST = 1 << 15 };

struct two {
    struct weights *a, *b;
};

static enum status compare_tensor(void *user, const char *name, int rows, int cols,
                                  struct error *err)
{
    static float x[MOST], y[MOST];
    struct two *two = user;
    size_t n = (size_t)(rows ? rows : 1) * (size_t)cols;
    CHECK(n <= MOST, "%s has %zu", name, n);
    CHECK_OK(two->a->read(two->a, name, rows, cols, x, err), *err);
    CHECK_OK(two->b->read(two->b, name, rows, cols, y, err), *err);
    CHECK(!memcmp(x, y, n * sizeof *x), "%s differs", name);
    return OK;
}

static void same_bits(struct weights *a, struct weights *b)
{
    struct error err = { 0 };
    struct two two = { a, b };
    struct shape as = a->shape;
    snprintf(as.family, sizeof as.family, "%s", b->shape.family); /* GGUF keeps biases, not names */
    CHECK(shape_equal(&as, &b->shape), "the shape differs");
    CHECK_OK(weights_each(&a->shape, &(struct weights_visit){ &two, compare_tensor }, &err), err);
}

static double distance(struct weights *a, struct weights *b)
{
    struct error err = { 0 };
    struct parity *p;
    struct parity_report report;
    CHECK_OK(parity_open(&p, a, "ref", 1, NULL, 0, NULL, 3, &err), err);
    CHECK_OK(parity_compare(p, b, &report, &err), err);
    CHECK_INT(report.positions, 4 * PARITY_TOKENS / 2);
    CHECK(report.mean_kl > -1e-9, "KL is %g", report.mean_kl);
    parity_close(p);
    return report.max_abs_logit;
}

static void test_exact(struct weights *w, enum export_format format, const char *architecture)
{
    struct export_result result;
    struct weights *copy = exported(w, format, "F32", &result);
    CHECK_STR(result.architecture, architecture);
    same_bits(w, copy);
    weights_close(copy);
}

/* llama.cpp loads a file without a tokenizer only if it says so. */
static void test_no_vocab(struct weights *w)
{
    char dir[128], path[160], *bytes;
    size_t len;
    struct error err = { 0 }, none = { 0 };
    struct export_result result;
    struct export_spec spec = { EXPORT_GGUF, quant_type_named("F32"), NULL, 512, { 0 } };
    struct tokenizer *t;
    snprintf(dir, sizeof dir, "%s/no-vocab", root);
    snprintf(path, sizeof path, "%s/model.gguf", dir);
    CHECK_OK(dir_make(dir, &err), err);
    CHECK_OK(export_model(w, &spec, dir, &result, &err), err);
    CHECK_OK(file_read(&bytes, &len, path, 1 << 24, &err), err);
    CHECK(memmem(bytes, len, "no_vocab", 8), "the file does not say that it has no tokenizer");
    CHECK_INT(tokenizer_gguf(&t, path, &none), E_MISSING);
    free(bytes);
}

static void test_padded(struct weights *w, enum export_format format, bool all_alike)
{
    struct export_result result;
    struct weights *copy = exported(w, format, "F32", &result);
    CHECK_NEAR(distance(w, copy), 0, 2e-5);
    if (all_alike) CHECK(export_is_stock(&copy->shape), "the padded shape is not stock");
    CHECK(shape_params(&copy->shape) >= shape_params(&w->shape), "padding took something away");
    weights_close(copy);
}

static void test_rounded(struct weights *w, enum export_format format, const char *type,
                         double most)
{
    struct export_result result;
    struct weights *copy = exported(w, format, type, &result);
    double d = distance(w, copy);
    CHECK(d > 0 && d < most, "%s is %g away", type, d);
    weights_close(copy);
}

/* Does the matrix say that transformers loads it, and if not, why? */
static void test_claim(const struct shape *shape, const char *architecture, bool loads,
                       const char *words)
{
    struct buf text;
    struct emit e;
    struct export_spec spec = { EXPORT_GGUF, quant_type_named("Q8_0"), "a folder", 512, { 0 } };
    struct export_result result = { .shape = *shape };
    strcpy(result.architecture, architecture);
    buf_init(&text, 8192);
    emit_init(&e, &text);
    runtimes_emit(&spec, &result, &e);
    json_t *json = json_loadb(text.bytes, text.len, 0, NULL), *entry;
    size_t i;
    int found = 0;
    json_array_foreach(json, i, entry)
    {
        if (strcmp(json_string_value(json_object_get(entry, "runtime")), "transformers")) continue;
        const char *why = json_string_value(json_object_get(entry, "why"));
        CHECK(json_is_true(json_object_get(entry, "loads")) == loads, "%s: %s", architecture, why);
        CHECK(strstr(why, words), "%s: %s", architecture, why);
        found++;
    }
    CHECK_INT(found, 1);
    json_decref(json);
    buf_release(&text);
}

static void test_claims(void)
{
    struct shape a = uniform(false), b = uniform(true), c = uneven(), d = scaled(), e = a, f = a;
    e.output_bias = true;
    f.layer[0].q_heads = f.layer[1].q_heads = 4;
    test_claim(&a, "llama", true, "gguf_file");
    test_claim(&b, "qwen2", true, "gguf_file");
    test_claim(&c, "deci", false, "deci");
    test_claim(&d, "llama", false, "scaled");
    test_claim(&e, "llama", false, "biases");
    test_claim(&f, "llama", false, "head size");
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void test_refusals(struct weights *biased)
{
    struct error err = { 0 };
    struct export_result result;
    struct export_spec spec = { EXPORT_DECILM, quant_type_named("F32"), NULL, 512, { 0 } };
    CHECK(export_model(biased, &spec, root, &result, &err) == E_INPUT, "DeciLM with biases");
    CHECK(strstr(err.text, "no biases"), "%s", err.text);
    err = (struct error){ 0 };
    spec = (struct export_spec){ EXPORT_HF, quant_type_named("Q8_0"), NULL, 512, { 0 } };
    CHECK(export_model(biased, &spec, root, &result, &err) == E_INPUT, "hf in Q8_0");
    CHECK(strstr(err.text, "Q8_0 is a type of gguf"), "%s", err.text);

    struct weights *padded;
    struct shape smaller = biased->shape;
    smaller.layer[1].ffn--;
    err = (struct error){ 0 };
    CHECK(weights_pad(&padded, biased, &smaller, &err) == E_INPUT, "padded to less");
    CHECK(strstr(err.text, "layer 1 does not fit"), "%s", err.text);
}

/* ---- the job ------------------------------------------------------------------------------- */

static json_t *run_job(const char *model, struct error *err)
{
    char text[1024], path[160];
    struct job job;
    struct events *events = events_open(open("/dev/null", O_WRONLY));
    snprintf(text, sizeof text,
             "{\"schema\": \"lathe.job/1\", \"kind\": \"export\", \"work_dir\": \"%s/job\", "
             "\"backend\": \"ref\","
             " \"model\": {\"path\": \"%s/%s\"}, \"card\": {\"source\": \"nobody\"}, \"targets\":"
             " [{\"format\": \"hf\"}, {\"format\": \"gguf\", \"dtype\": \"q8_0\"}, {\"format\": "
             "\"shape\"}]}",
             root, root, model);
    CHECK_OK(job_parse(&job, text, strlen(text), err), *err);
    CHECK_OK(run_export(&job, events, err), *err);
    events_close(events);
    job_release(&job);
    snprintf(path, sizeof path, "%s/job/result/export.json", root);
    return json_load_file(path, 0, NULL);
}

static double parity_of(json_t *target)
{
    return json_number_value(
        json_object_get(json_object_get(target, "parity"), "max_abs_logit_difference"));
}

static void test_job(void)
{
    char path[200];
    struct error err = { 0 };
    json_t *json = run_job("uneven", &err), *targets = json_object_get(json, "targets");
    CHECK_INT(json_array_size(targets), 3);
    json_t *hf = json_array_get(targets, 0), *gguf = json_array_get(targets, 1);
    CHECK_STR(json_string_value(json_object_get(hf, "architecture")), "LatheForCausalLM");
    CHECK_NEAR(parity_of(hf), 0, 0);
    CHECK(parity_of(gguf) > 0 && parity_of(gguf) < 0.5, "Q8_0 is %g away", parity_of(gguf));
    CHECK(json_is_null(json_object_get(json_array_get(targets, 2), "parity")),
          "a shape has no logits");
    CHECK_INT(json_array_size(json_object_get(hf, "files")), 4);
    snprintf(path, sizeof path, "%s/job/result/hf-float32/modeling_lathe.py", root);
    CHECK(!access(path, R_OK), "no %s", path);
    CHECK_INT(json_array_size(json_object_get(json_array_get(targets, 2), "files")), 3);
    json_decref(json);
}

/* A tokenizer that went into a GGUF file comes out with the same ids. */
static void check_tokenizer(const char *source, struct weights *w, const char *name)
{
    static const char text[] = "It was 1865: the na\xc3\xafve  old caf\xc3\xa9\n\n don't "
                               "<|im_start|>ask</s> e\xcc\x81 \xe6\x97\xa5";
    char from[256], dir[256];
    struct error err = { 0 };
    struct tokenizer *a, *b;
    struct ids x = { 0 }, y = { 0 };
    struct export_result result;
    snprintf(from, sizeof from, "%s/tests/golden/%s", source, name);
    snprintf(dir, sizeof dir, "%s/%s", root, name);
    struct export_spec spec = { EXPORT_GGUF, quant_type_named("F32"), from, 512, { 0 } };
    CHECK_OK(dir_make(dir, &err), err);
    CHECK_OK(export_model(w, &spec, dir, &result, &err), err);
    strcat(dir, "/model.gguf");
    CHECK_OK(tokenizer_open(&a, from, &err), err);
    CHECK_OK(tokenizer_open(&b, dir, &err), err);
    CHECK_OK(a->encode(a, text, strlen(text), &x, &err), err);
    CHECK_OK(b->encode(b, text, strlen(text), &y, &err), err);
    CHECK(x.n == y.n && !memcmp(x.id, y.id, x.n * sizeof *x.id), "%s: other ids in GGUF", name);
    CHECK(x.n > 30, "%zu ids", x.n);
    ids_release(&x);
    ids_release(&y);
    tokenizer_close(a);
    tokenizer_close(b);
}

/* llama.cpp would take the scores of a unigram model for those of a byte-pair encoding. */
static void test_unigram(const char *source, struct weights *w)
{
    char from[256], dir[256];
    struct error err = { 0 };
    struct export_result result;
    snprintf(from, sizeof from, "%s/tests/golden/tokenizer_unigram", source);
    snprintf(dir, sizeof dir, "%s/unigram", root);
    struct export_spec spec = { EXPORT_GGUF, quant_type_named("F32"), from, 512, { 0 } };
    CHECK_OK(dir_make(dir, &err), err);
    CHECK(export_model(w, &spec, dir, &result, &err) == E_INPUT, "a unigram model in GGUF");
    CHECK(strstr(err.text, "is a unigram model"), "%s", err.text);
    err = (struct error){ 0 };
    spec.format = EXPORT_HF;
    CHECK_OK(export_model(w, &spec, dir, &result, &err), err);
}

/* <s> begins a text and </s> ends it, for whoever reads config.json alone too. */
static void test_ends(const char *source, struct weights *w, enum export_format format)
{
    char from[256], dir[256], path[300];
    struct error err = { 0 };
    struct export_result result;
    snprintf(from, sizeof from, "%s/tests/golden/tokenizer_sentencepiece", source);
    snprintf(dir, sizeof dir, "%s/ends-%s", root, export_formats[format]);
    snprintf(path, sizeof path, "%s/config.json", dir);
    struct export_spec spec = { format, quant_type_named("F32"), from, 512, { 0 } };
    CHECK_OK(dir_make(dir, &err), err);
    CHECK_OK(export_model(w, &spec, dir, &result, &err), err);
    json_t *config = json_load_file(path, 0, NULL);
    CHECK_INT(json_integer_value(json_object_get(config, "bos_token_id")), 1);
    CHECK_INT(json_integer_value(json_object_get(config, "eos_token_id")), 2);
    json_decref(config);
}

static void test_tokenizers(void)
{
    const char *source = getenv("LATHE_SOURCE_DIR");
    if (!source) return;
    struct shape s = uniform(false);
    s.vocab_size = 910;
    struct weights *w = source_of(&s, "wide");
    check_tokenizer(source, w, "tokenizer_qwen2");
    check_tokenizer(source, w, "tokenizer_sentencepiece");
    check_tokenizer(source, w, "tokenizer_llama2_strings");
    test_unigram(source, w);
    test_ends(source, w, EXPORT_HF);
    test_ends(source, w, EXPORT_DECILM);
    weights_close(w);
}

static void refused(const char *targets, const char *words)
{
    char text[1024];
    struct job job;
    struct error err = { 0 };
    snprintf(text, sizeof text,
             "{\"schema\": \"lathe.job/1\", \"kind\": \"export\", \"work_dir\": \"/w\", \"model\": "
             "{\"path\": \"/m\"}, %s}",
             targets);
    CHECK(job_parse(&job, text, strlen(text), &err) == E_INPUT, "accepted: %s", targets);
    CHECK(strstr(err.text, words), "'%s' does not say '%s'", err.text, words);
    job_release(&job);
}

int main(void)
{
    struct error ignored = { 0 };
    CHECK(mkdtemp(root), "mkdtemp");
    struct shape a = uniform(false), b = uniform(true), c = uneven(), d = scaled();
    struct weights *plain = source_of(&a, "plain"), *biased = source_of(&b, "biased");
    struct weights *odd = source_of(&c, "uneven"), *rope = source_of(&d, "scaled");
    struct shape e = uniform(false), g = uneven(), h = uniform(true);
    e.output_bias = g.output_bias = h.output_bias = true;
    struct weights *out[] = { source_of(&e, "out"), source_of(&g, "out-uneven"),
                              source_of(&h, "all-biases") };
    for (int i = 0; i < 3; i++) {
        test_exact(out[i], EXPORT_HF, "LatheForCausalLM");
        test_exact(out[i], EXPORT_GGUF, i == 1 ? "deci" : "llama");
        test_padded(out[i], EXPORT_HF_PADDED, false);
    }
    test_refusals(out[0]);
    test_exact(plain, EXPORT_HF, "LlamaForCausalLM");
    test_exact(plain, EXPORT_GGUF, "llama");
    test_exact(biased, EXPORT_HF, "Qwen2ForCausalLM");
    test_exact(biased, EXPORT_GGUF, "qwen2");
    test_exact(odd, EXPORT_HF, "LatheForCausalLM");
    test_exact(odd, EXPORT_GGUF, "deci");
    test_exact(rope, EXPORT_GGUF, "llama");
    d.rope_scaling = (struct rope_scaling){ true, 6, 1.5, 3, 40 };
    weights_close(rope);
    rope = source_of(&d, "scaled-oddly");
    test_exact(rope, EXPORT_GGUF, "llama");
    test_no_vocab(plain);
    test_padded(plain, EXPORT_DECILM, false);
    test_padded(odd, EXPORT_DECILM, false);
    test_padded(odd, EXPORT_HF_PADDED, true);
    test_padded(biased, EXPORT_HF_PADDED, true);
    test_rounded(plain, EXPORT_HF, "BF16", 0.2);
    test_rounded(plain, EXPORT_GGUF, "F16", 0.02);
    test_rounded(odd, EXPORT_GGUF, "Q8_0", 0.5);
    test_rounded(plain, EXPORT_GGUF, "Q4_0", 3);
    test_claims();
    test_refusals(biased);
    test_job();
    test_tokenizers();
    refused("\"targets\": []", "targets: names no target");
    refused("\"targets\": [{\"format\": \"onnx\"}]", "targets/0/format: is not one of");
    refused("\"targets\": [{\"format\": \"hf\", \"dtype\": \"q4_0\"}]",
            "targets/0/dtype: is for gguf");
    refused("\"targets\": [{\"format\": \"hf\"}, {\"format\": \"hf\"}]", "the same as target 0");
    weights_close(plain);
    weights_close(biased);
    weights_close(odd);
    weights_close(rope);
    for (int i = 0; i < 3; i++) weights_close(out[i]);
    dir_remove(root, &ignored);
    puts("ok");
    return 0;
}
