/* Evaluation against a golden one (tests/golden/make_evaluation.py: numpy and Hugging Face's
 * tokenizers), going on after an interruption, latency, and what is refused. */
#include <sys/stat.h>

#include "tests/trainer/program.h"
#include "trainer/evaluate/latency.h"
#include "trainer/evaluate/task.h"

#define GOLDEN "golden/evaluation"

static char golden[512], tests[400];

static json_t *load(const char *path)
{
    json_error_t at;
    json_t *json = json_load_file(path, 0, &at);
    CHECK(json, "%s: %s", path, at.text);
    return json;
}

static const char *job_of(const char *dir, const char *more, const char *tasks)
{
    static char job[8192];
    snprintf(job, sizeof job,
             "{\"schema\":\"lathe.job/1\",\"kind\":\"evaluate\",\"work_dir\":\"%s/%s\",\"threads\":2,"
             "\"model\":{\"path\":\"%s/model\"},\"context\":2048%s,\"tasks\":[%s]}",
             world, dir, golden, more, tasks);
    return job;
}

static const char *task_of(const char *name, const char *form, const char *file)
{
    static char text[1024];
    snprintf(text, sizeof text, "{\"name\":\"%s\",\"form\":\"%s\",\"files\":[{\"path\":\"%s/%s\"}]}",
             name, form, golden, file);
    return text;
}

/* Every task that the golden evaluation has, as one list. */
static const char *all_tasks(void)
{
    static const char *const forms[] = { "pairs", "arc",   "hellaswag", "piqa",
                                         "winogrande", "boolq", "lambada",   "text" };
    static char list[8192];
    *list = '\0';
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char file[64];
        snprintf(file, sizeof file, "%s.jsonl", forms[i]);
        strcat(list, *list ? "," : "");
        strcat(list, task_of(forms[i], forms[i], file));
        if (i != 3) continue; /* piqa's labels are a file of their own */
        char *end = strrchr(list, ']');
        snprintf(end, 600, ",{\"path\":\"%s/piqa.labels\"}]}", golden);
    }
    return list;
}

static json_t *result_of(const struct program *p, const char *task)
{
    json_t *row, *list = json_object_get(program_last(p, "done"), "results");
    size_t i;
    json_array_foreach(list, i, row) if (!strcmp(event_string(row, "task"), task)) return row;
    CHECK(false, "no result of %s", task);
    return NULL;
}

static void check_metrics(const json_t *got, const json_t *want, const char *task)
{
    const char *name;
    json_t *value;
    CHECK_INT(json_object_size(got), json_object_size(want));
    json_object_foreach((json_t *)(uintptr_t)want, name, value)
    {
        double w = json_number_value(value), g = json_number_value(json_object_get(got, name));
        CHECK(fabs(g - w) <= 2e-5 * fabs(w) + 1e-9, "%s %s: %.9g, want %.9g", task, name, g, w);
    }
}

/* Every log-likelihood of the samples file, and that it says the same as the metrics. */
static void check_samples(const char *dir, const char *task, const json_t *want, bool text)
{
    char path[700], line[65536];
    snprintf(path, sizeof path, "%s/%s/result/samples_%s.jsonl", world, dir, task);
    FILE *f = fopen(path, "r");
    CHECK(f, "%s", path);
    const json_t *sums = json_object_get(want, "sums");
    for (size_t i = 0; i < json_array_size(sums); i++) {
        CHECK(fgets(line, sizeof line, f), "%s has %zu lines", path, i);
        json_t *sample = json_loads(line, 0, NULL), *row = json_array_get(sums, i);
        CHECK_INT(event_int(sample, "doc_id"), i);
        for (size_t k = 0; k < json_array_size(row); k++) {
            json_t *answer = json_array_get(json_object_get(sample, "filtered_resps"), k);
            double w = json_number_value(json_array_get(row, k));
            double g = text ? json_number_value(answer)
                            : atof(json_string_value(json_array_get(answer, 0)));
            CHECK(fabs(g - w) < 1e-4 + 2e-6 * fabs(w), "%s item %zu choice %zu: %.9g, want %.9g",
                  task, i, k, g, w);
            if (text) continue;
            const char *greedy = json_string_value(json_array_get(answer, 1));
            json_t *wanted = json_array_get(json_array_get(json_object_get(want, "greedy"), i), k);
            CHECK_STR(greedy, json_is_true(wanted) ? "True" : "False");
        }
        json_decref(sample);
    }
    CHECK(!fgets(line, sizeof line, f), "%s has more lines", path);
    fclose(f);
}

static void check_task(const struct program *p, const char *dir, const char *task, const json_t *all,
                       const char *golden_name)
{
    const json_t *want = json_object_get(all, golden_name);
    check_metrics(json_object_get(result_of(p, task), "metrics"), json_object_get(want, "metrics"),
                  task);
    check_samples(dir, task, want, !strcmp(task, "text"));
}

/* ---- the golden evaluation ------------------------------------------------------------------------ */

static void test_golden(const char *backend, int batch_tokens)
{
    struct program p;
    char path[600], more[900];
    const char *name;
    json_t *value;
    snprintf(path, sizeof path, "%s/expected.json", golden);
    json_t *all = load(path);
    snprintf(more, sizeof more,
             ",\"backend\":\"%s\",\"batch_tokens\":%d,\"tokenizer\":\"%s/golden/tokenizer_qwen2\"",
             backend, batch_tokens, tests);
    CHECK_INT(program_run(&p, job_of(backend, more, all_tasks())), 0);
    json_object_foreach(all, name, value)
    {
        if (strncmp(name, "bos_", 4)) check_task(&p, backend, name, all, name);
    }
    json_t *last = program_last(&p, "progress");
    CHECK_INT(event_int(last, "done"), event_int(last, "total"));
    json_decref(all);
    program_release(&p);
}

static void test_layout(void)
{
    char path[600];
    snprintf(path, sizeof path, "%s/ref/result/results.json", world);
    json_t *r = load(path);
    json_t *arc = json_object_get(json_object_get(r, "results"), "arc");
    CHECK(json_is_number(json_object_get(arc, "acc,none")), "acc,none");
    CHECK(json_is_number(json_object_get(arc, "acc_norm_stderr,none")), "acc_norm_stderr,none");
    CHECK_STR(event_string(arc, "alias"), "arc");
    json_t *n = json_object_get(json_object_get(r, "n-samples"), "pairs");
    CHECK_INT(event_int(n, "effective"), 5);
    CHECK_INT(event_int(r, "max_length"), 48); /* cut to the model's */
    static const char *const members[] = { "group_subtasks", "configs",          "versions",
                                           "n-shot",         "higher_is_better", "config",
                                           "task_hashes",    "date" };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        CHECK(json_object_get(r, members[i]), "no %s", members[i]);
    json_decref(r);
}

/* A tokenizer that puts a token before every text; items as an array. */
static void test_begin_token(void)
{
    struct program p;
    char path[700], more[900];
    snprintf(path, sizeof path, "%s/golden/tokenizer_qwen2/tokenizer.json", tests);
    json_t *tokenizer = load(path);
    snprintf(path, sizeof path, "%s/post_processor.json", golden);
    json_object_set_new(tokenizer, "post_processor", load(path));
    snprintf(path, sizeof path, "%s/tokenizer.json", world);
    CHECK(!json_dump_file(tokenizer, path, 0), "%s", path);
    snprintf(more, sizeof more, ",\"tokenizer\":\"%s\"", path);
    char tasks[4096];
    snprintf(tasks, sizeof tasks, "%s,", task_of("pairs", "pairs", "pairs.jsonl"));
    strcat(tasks, task_of("text", "text", "text.jsonl"));
    CHECK_INT(program_run(&p, job_of("bos", more, tasks)), 0);
    snprintf(path, sizeof path, "%s/expected.json", golden);
    json_t *all = load(path);
    check_task(&p, "bos", "pairs", all, "bos_pairs");
    check_task(&p, "bos", "text", all, "bos_text");
    json_decref(all);
    json_decref(tokenizer);
    program_release(&p);
}

static void test_array_and_limit(void)
{
    struct program p;
    char more[700], tasks[1200];
    snprintf(more, sizeof more, ",\"tokenizer\":\"%s/golden/tokenizer_qwen2\"", tests);
    snprintf(tasks, sizeof tasks, "%s", task_of("arc", "arc", "arc.json"));
    strcpy(strrchr(tasks, '}'), ",\"limit\":1}");
    CHECK_INT(program_run(&p, job_of("limit", more, tasks)), 0);
    json_t *r = result_of(&p, "arc");
    CHECK_INT(event_int(r, "items"), 1);
    CHECK(json_is_null(json_object_get(json_object_get(r, "metrics"), "acc_stderr")), "of one item");
    program_release(&p);
}

/* ---- going on ---------------------------------------------------------------------------------- */

static char *slurp(const char *path, long *len)
{
    FILE *f = fopen(path, "r");
    CHECK(f, "%s", path);
    char *text = calloc(1, 1 << 20);
    *len = (long)fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    return text;
}

/* A journal cut in the middle of a line, as a kill leaves it: the same samples to the byte, and only
 * what was missing is computed again. A journal of something else counts for nothing. */
static void test_going_on(void)
{
    struct program p;
    char more[700], path[600], samples[600];
    long whole, now, before, after;
    snprintf(more, sizeof more, ",\"batch_tokens\":64,\"tokenizer\":\"%s/golden/tokenizer_qwen2\"",
             tests);
    CHECK_INT(program_run(&p, job_of("resume", more, all_tasks())), 0);
    program_release(&p);
    snprintf(path, sizeof path, "%s/resume/evaluate.journal", world);
    snprintf(samples, sizeof samples, "%s/resume/result/samples_hellaswag.jsonl", world);
    char *journal = slurp(path, &whole), *first = slurp(samples, &before);
    for (long cut = whole; cut > 0; cut -= whole / 5 + 1) {
        CHECK(!truncate(path, cut), "truncate");
        CHECK(!remove(samples), "remove");
        CHECK_INT(program_run(&p, job_of("resume", more, all_tasks())), 0);
        if (cut == whole) CHECK_INT(event_int(p.event[1], "done"), event_int(p.event[1], "total"));
        char *again = slurp(samples, &after), *journal_again = slurp(path, &now);
        CHECK(after == before && !memcmp(again, first, (size_t)after), "other samples after %ld",
              cut);
        CHECK(now == whole && !memcmp(journal_again, journal, (size_t)now), "another journal");
        free(again);
        free(journal_again);
        program_release(&p);
    }
    memcpy(strstr(more, "64"), "96", 2); /* other batches: another evaluation */
    CHECK_INT(program_run(&p, job_of("resume", more, all_tasks())), 0);
    CHECK_INT(event_int(p.event[1], "done"), 0);
    program_release(&p);
    free(journal);
    free(first);
}

/* SIGTERM between two batches ends with 75; given again, the job ends well. */
static void test_stopped(void)
{
    struct program p;
    char more[700];
    snprintf(more, sizeof more, ",\"batch_tokens\":1,\"tokenizer\":\"%s/golden/tokenizer_qwen2\"",
             tests);
    program_start(&p, job_of("stopped", more, all_tasks()), 0);
    while (!program_last(&p, "progress")) CHECK(program_next(&p), "no progress");
    program_kill(&p, SIGTERM);
    int code = program_wait(&p);
    CHECK(code == 75 || code == 0, "%d", code); /* 0: it was faster */
    program_release(&p);
    CHECK_INT(program_run(&p, job_of("stopped", more, all_tasks())), 0);
    program_release(&p);
}

/* ---- latency ------------------------------------------------------------------------------------- */

static double metric(const struct program *p, const char *name)
{
    return event_number(json_object_get(result_of(p, "speed"), "metrics"), name);
}

/* A llama-bench that prints what the real one prints. */
static void put_fake_bench(void)
{
    char path[600], text[2000];
    snprintf(path, sizeof path, "%s/bin", world);
    CHECK(!mkdir(path, 0777), "mkdir");
    snprintf(path, sizeof path, "%s/bin/llama-bench", world);
    FILE *f = fopen(path, "w");
    fputs("#!/bin/sh\nhead -c 4 \"$2\" | grep -q GGUF || exit 1\n"
          "echo '[{\"n_prompt\": '$4', \"n_gen\": 0, \"avg_ts\": 900.5, \"stddev_ts\": 2.5},"
          "{\"n_prompt\": 0, \"n_gen\": '$6', \"avg_ts\": 44.25, \"stddev_ts\": 0.5}]'\n",
          f);
    fclose(f);
    CHECK(!chmod(path, 0755), "chmod");
    snprintf(text, sizeof text, "%s/bin:%s", world, getenv("PATH"));
    setenv("PATH", text, 1);
}

static void test_latency(void)
{
    struct program p;
    char job[2000];
    put_fake_bench();
    snprintf(job, sizeof job,
             "{\"schema\":\"lathe.job/1\",\"kind\":\"evaluate\",\"work_dir\":\"%s/fast\","
             "\"threads\":1,\"model\":{\"shape\":" SMALL_SHAPE "},\"tasks\":[{\"name\":\"speed\","
             "\"form\":\"latency\",\"prompt_tokens\":24,\"generate_tokens\":9,\"repeats\":3}]}",
             world);
    CHECK_INT(program_run(&p, job), 0);
    double first = metric(&p, "time_to_first_token_ms"), each = metric(&p, "ms_per_token");
    CHECK_NEAR(metric(&p, "prefill_tokens_per_second") * first, 24e3, 1e-6);
    CHECK_NEAR(metric(&p, "decode_tokens_per_second") * each, 1e3, 1e-9);
    CHECK(metric(&p, "ms_per_token_min") <= each && each <= metric(&p, "ms_per_token_max"), "spread");
    CHECK_NEAR(metric(&p, "llama_bench_prefill_tokens_per_second"), 900.5, 0);
    CHECK_NEAR(metric(&p, "llama_bench_decode_tokens_per_second_stddev"), 0.5, 0);
    program_release(&p);
    struct eval_metrics m = { 0 };
    CHECK(!llama_bench_read(&m, "error: x", 8) && !m.n, "rubbish is no measurement");
}

/* ---- refusals ------------------------------------------------------------------------------------ */

static void refuses(const char *form, const char *bytes, size_t len, const char *sentence)
{
    struct program p;
    char path[600], more[900], task[1200];
    snprintf(path, sizeof path, "%s/bad", world);
    FILE *f = fopen(path, "w");
    fwrite(bytes, 1, len, f);
    fclose(f);
    snprintf(more, sizeof more, ",\"tokenizer\":\"%s/golden/tokenizer_qwen2\"", tests);
    snprintf(task, sizeof task, "{\"name\":\"x\",\"form\":\"%s\",\"files\":[{\"path\":\"%s\"}]}", form,
             path);
    int code = program_run(&p, job_of("refused", more, task));
    const char *said = event_string(program_last(&p, "error"), "message");
    CHECK(code == 2, "%d: %s", code, said);
    CHECK(strstr(said, sentence), "'%s' lacks '%s'", said, sentence);
    program_release(&p);
}

static void refuses_text(const char *form, const char *text, const char *sentence)
{
    refuses(form, text, strlen(text), sentence);
}

/* Behind a byte order mark: the members of items that no form asks for may be what Python lets
 * pass; their samples are JSON. */
static void test_odd_members(void)
{
    struct error err = { 0 };
    struct eval_items items;
    char path[1][PATH_ROOM];
    struct evaluate_task task = { .form = FORM_LAMBADA, .n_files = 1, .file = path };
    snprintf(path[0], sizeof path[0], "%s/odd.jsonl", world);
    FILE *f = fopen(path[0], "w");
    fputs("\xef\xbb\xbf{\"text\":\"one two\",\"score\":NaN,\"n\":3}\n", f);
    fputs("{\"text\":\"one two\",\"id\":12345678901234567890}\n{\"text\":\"one  two\"}\n", f);
    fclose(f);
    CHECK_OK(eval_items_read(&items, &task, &err), err);
    CHECK_INT(items.n, 3);
    CHECK_STR(items.item[0].doc.at, "{\"text\":\"one two\",\"score\":null,\"n\":3}");
    CHECK_STR(items.item[2].doc.at, "{\"text\":\"one  two\"}");
    eval_items_release(&items);
}

static void test_refusals(void)
{
    refuses("pairs", "\xfd" "7zXZ\0\0", 7, "unpack it first");
    refuses_text("pairs", "", "there is no item");
    refuses_text("pairs", "{\"choices\":[],\"gold\":0}", "line 1: choices: has 0 choices");
    refuses_text("pairs", "\n{\"choices\":[{\"context\":\"a\",\"continuation\":\"b\"}],\"gold\":1}",
                 "line 2: gold");
    refuses_text("pairs", "{\"choices\":[{\"context\":\"a\",\"continuation\":\"\"}],\"gold\":0}",
                 "is empty");
    refuses_text("arc", "{\"question\":\"q\",\"choices\":{\"text\":[\"a\"],\"label\":[\"A\"]},"
                        "\"answerKey\":\"B\"}",
                 "answerKey");
    refuses_text("hellaswag", "{\"activity_label\":\"a\",\"ctx_a\":\"b\",\"ctx_b\":\"c\",\"endings\":"
                              "[\"d\"],\"label\":\"\"}",
                 "no answers");
    refuses_text("winogrande", "{\"sentence\":\"no gap\",\"option1\":\"a\",\"option2\":\"b\"}",
                 "has no _");
    refuses_text("piqa", "{\"goal\":\"a\",\"sol1\":\"b\",\"sol2\":\"c\"}", "has no label");
    refuses_text("arc", "[1, 2", "bad");
    refuses_text("text", "\xff\xfe\xff", "UTF-8");
}

int main(void)
{
    const char *source = getenv("LATHE_SOURCE_DIR");
    snprintf(tests, sizeof tests, "%s/tests", source ? source : ".");
    snprintf(golden, sizeof golden, "%s/" GOLDEN, tests);
    CHECK(mkdtemp(world), "mkdtemp");
    test_golden("ref", 8192);
    test_golden("cpu", 1);
    test_golden("cpu-blas", 8192);
    test_layout();
    test_begin_token();
    test_array_and_limit();
    test_going_on();
    test_stopped();
    test_latency();
    test_odd_members();
    test_refusals();
    world_remove();
    puts("ok evaluate");
    return 0;
}
