/* Jobs: what is refused is refused by name, and defaults are those of the header. */
#include "tests/support/check.h"
#include "trainer/job.h"

#define TRAIN                                                                                      \
    "\"schema\":\"lathe.job/1\",\"kind\":\"train\",\"work_dir\":\"/w\",\"data\":{\"path\":\"/d\"}"
#define SHAPE                                                                                      \
    "{\"hidden_size\":32,\"head_dim\":8,\"vocab_size\":257,\"layers\":[{\"q_heads\":4,\"kv_"       \
    "heads\":2,\"ffn\":40}]}"
#define MODEL  ",\"model\":{\"shape\":" SHAPE "}"
#define BUDGET ",\"budget\":{\"tokens\":1000}"
#define FILES  "\"schema\":\"lathe.job/1\",\"kind\":\"dataset\",\"work_dir\":\"/w\""

static enum status parse(struct job *job, const char *text, struct error *err)
{
    *err = (struct error){ 0 };
    return job_parse(job, text, strlen(text), err);
}

static void refuses(const char *text, const char *pointer, const char *sentence)
{
    struct job job;
    struct error err;
    CHECK(parse(&job, text, &err) == E_INPUT, "accepted %s", text);
    CHECK_STR(err.pointer, pointer);
    CHECK(strstr(err.text, sentence), "'%s' lacks '%s'", err.text, sentence);
    job_release(&job);
}

static void test_defaults(void)
{
    struct job job;
    struct error err;
    CHECK_OK(parse(&job, "{" TRAIN MODEL BUDGET "}", &err), err);
    CHECK_INT(job.kind, JOB_TRAIN);
    CHECK_INT(job.recipe.batch_size, 16);
    CHECK_INT(job.recipe.sequence_length, 128);
    CHECK_INT(job.recipe.lr.kind, LR_WSD);
    CHECK_INT(job.seed, 1);
    CHECK_INT(job.checkpoint_keep.last, 2);
    CHECK_STR(job.backend, "cpu");
    CHECK_NEAR(job.recipe.lr.peak, 1e-3, 0);
    CHECK_INT(recipe_steps(&job.recipe, job.budget_tokens), 1);
    CHECK_INT(recipe_steps(&job.recipe, 2048), 1);
    CHECK_INT(recipe_steps(&job.recipe, 2049), 2);
    job_release(&job);
}

static void test_precision(void)
{
    static const char *const known[][3] = { { "cpu", "float32", "cpu" },
                                            { "cpu", "bf16", "cpu-bf16" },
                                            { "cpu", "bf16x3", "cpu-bf16x3" },
                                            { "cuda", "float32", "cuda-f32" },
                                            { "cuda-exact", "float32", "cuda-f32" },
                                            { "cuda-exact", "bf16", "cuda-exact" } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char text[600];
        struct job job;
        struct error err;
        snprintf(text, sizeof text,
                 "{" TRAIN MODEL BUDGET ",\"backend\":\"%s\",\"precision\":\"%s\"}", known[i][0],
                 known[i][1]);
        CHECK_OK(parse(&job, text, &err), err);
        CHECK_STR(job.backend, known[i][2]);
        job_release(&job);
    }
}

static void test_search(void)
{
    struct job job;
    struct error err;
    const char *text =
        "{\"schema\":\"lathe.job/1\",\"kind\":\"search\",\"work_dir\":\"/w\",\"data\":{\"path\":\"/"
        "d\"}" MODEL ",\"budget\":{\"tokens\":5000},\"search\":{\"stop\":{\"ratio\":0.5}},"
        "\"recipe\":{\"grad_accum\":2}}";
    CHECK_OK(parse(&job, text, &err), err);
    CHECK_INT(job.search.tokens_per_step, 16 * 128 * 2);
    CHECK_INT(job.search.start_step, 2);
    CHECK_INT(job.recipe.lr.kind, LR_CONSTANT);
    job_release(&job);
}

static void test_identity(void)
{
    struct job a, b, c;
    struct error err;
    CHECK_OK(parse(&a, "{" TRAIN MODEL BUDGET ",\"threads\":1,\"checkpoint\":{\"keep\":1}}", &err),
             err);
    CHECK_OK(parse(&b, "{" TRAIN MODEL BUDGET ",\"threads\":2,\"job_id\":\"j\"}", &err), err);
    CHECK_OK(parse(&c, "{" TRAIN MODEL BUDGET ",\"seed\":2}", &err), err);
    CHECK_STR(a.identity, b.identity);
    CHECK(strcmp(a.identity, c.identity), "another seed is another job");
    job_release(&a), job_release(&b), job_release(&c);
}

static void test_refusals(void)
{
    refuses("{" TRAIN MODEL BUDGET ",\"speed\":9}", "/speed", "speed: is not a known field");
    refuses("{" TRAIN MODEL BUDGET ",\"recipe\":{\"lr\":1}}", "/recipe/lr", "not a known field");
    refuses("{" TRAIN MODEL BUDGET ",\"recipe\":{\"batch_size\":0}}", "/recipe/batch_size",
            "outside 1..");
    refuses("{" TRAIN MODEL BUDGET ",\"recipe\":{\"schedule\":\"sine\"}}", "/recipe/schedule",
            "constant, wsd, cosine");
    refuses("{" TRAIN MODEL BUDGET ",\"recipe\":{\"batch_size\":65536,\"sequence_length\":131072}}",
            "/recipe", "2^26");
    refuses("{" TRAIN MODEL BUDGET ",\"precision\":\"fp8\"}", "/precision", "float32, bf16");
    refuses("{" TRAIN MODEL BUDGET ",\"backend\":\"ref\",\"precision\":\"bf16\"}", "/precision",
            "float64");
    refuses("{" TRAIN MODEL BUDGET ",\"backend\":\"cuda\",\"precision\":\"bf16x3\"}", "/precision",
            "for backend cpu");
    refuses("{" TRAIN MODEL BUDGET ",\"backend\":\"cpu-blas\",\"precision\":\"bf16\"}",
            "/precision", "says it already");
    refuses("{" TRAIN MODEL BUDGET ",\"recipe\":{\"lora\":{}}}", "/recipe/lora/rank", "is missing");
    refuses("{" TRAIN MODEL BUDGET ",\"recipe\":{\"lora\":{\"rank\":4,\"targets\":[\"w\"]}}}",
            "/recipe/lora/targets", "takes q, k, v");
    refuses("{" TRAIN MODEL BUDGET ",\"recipe\":{\"lora\":{\"rank\":4,\"targets\":[]}}}",
            "/recipe/lora/targets", "is empty");
    refuses("{" TRAIN BUDGET
            ",\"model\":{\"shape\":{\"hidden_size\":32,\"head_dim\":8,\"vocab_size\":"
            "9,\"layers\":[{\"q_heads\":4,\"kv_heads\":2,\"ffn\":40}]}},\"recipe\":{\"lora\":{"
            "\"rank\":4}}}",
            "/model", "name a path");
    refuses("{" TRAIN MODEL BUDGET ",\"recipe\":7}", "/recipe", "not an object");
    refuses("{" TRAIN MODEL BUDGET ",\"search\":{}}", "/search", "not a known field");
    refuses("{" TRAIN MODEL "}", "/budget", "is missing");
    refuses("{" TRAIN MODEL ",\"budget\":{\"tokens\":0}}", "/budget/tokens", "outside 1..");
    refuses("{" TRAIN BUDGET "}", "/model", "is missing");
    refuses("{" TRAIN BUDGET ",\"model\":{}}", "/model", "either shape or path");
    refuses("{" TRAIN BUDGET ",\"model\":{\"path\":\"\"}}", "/model/path", "is empty");
    refuses("{" TRAIN BUDGET
            ",\"model\":{\"shape\":{\"hidden_size\":32,\"head_dim\":7,\"vocab_size\":9,\"layers\":"
            "[{\"q_heads\":4,\"kv_heads\":2,\"ffn\":40}]}}}",
            "/model/shape", "head_dim 7 is odd");
    refuses("{" TRAIN BUDGET
            ",\"model\":{\"shape\":{\"hidden_size\":32,\"head_dim\":8,\"vocab_size\":9,\"layers\":"
            "[{\"q_heads\":4,\"kv_heads\":3,\"ffn\":40}]}}}",
            "/model/shape", "kv_heads 3 does not divide");
    refuses("{\"schema\":\"lathe.job/2\",\"kind\":\"train\",\"work_dir\":\"/w\"}", "/schema",
            "lathe.job/1");
    refuses("{\"schema\":\"lathe.job/1\",\"kind\":\"sing\",\"work_dir\":\"/w\"}", "/kind",
            "train, search, dataset");
    refuses("{\"schema\":\"lathe.job/1\",\"kind\":\"train\"}", "/work_dir", "is missing");
    refuses("{" FILES ",\"tokenizer\":{\"kind\":\"bytes\"}}", "/files", "names no file");
    refuses("{" FILES
            ",\"files\":[{\"path\":\"/f\",\"format\":\"pdf\"}],\"tokenizer\":{\"kind\":\"bytes\"}}",
            "/files/0/format", "text, jsonl");
    refuses("{" FILES ",\"files\":[{\"path\":\"/f\"}]}", "/tokenizer", "is missing");
    refuses("{\"schema\":\"lathe.job/1\",\"kind\":\"import\",\"work_dir\":\"/"
            "w\",\"files\":[{\"path\":\"/f\",\"name\":\"../x\"}]}",
            "/files/0/name", "plain file name");
    refuses("{\"schema\":\"lathe.job/1\",\"kind\":\"import\",\"work_dir\":\"/w\"}", "/files",
            "either files or path");
    refuses("[]", "", "expected a JSON object");
    refuses("{\"schema\":", "", "not JSON");
}

int main(void)
{
    test_defaults();
    test_precision();
    test_search();
    test_identity();
    test_refusals();
    puts("ok");
    return 0;
}
