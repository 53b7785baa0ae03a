/* Datasets through the program: what becomes of a domain that is held out whole. */
#include "tests/trainer/program.h"

/* The last event of a job on these files. */
static json_t *make(struct program *p, const char *dir, const char *files, double fraction)
{
    char job[4096];
    snprintf(job, sizeof job,
             "{\"schema\":\"lathe.job/1\",\"kind\":\"dataset\",\"work_dir\":\"%s/%s\",\"seed\":12,"
             "\"name\":\"d\",\"validation_fraction\":%g,\"tokenizer\":{\"kind\":\"bytes\"},"
             "\"files\":[%s]}",
             world, dir, fraction, files);
    CHECK_INT(program_run(p, job), 0);
    return program_last(p, "done");
}

static void write_lines(const char *name, const char *text, int n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", world, name);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < n; i++) fprintf(f, "{\"text\":\"%s\"}\n", text);
    fclose(f);
}

/* Steering gives weight to every domain, and this one has no window to train on: equal documents
 * lie on one side, and the seed holds these out. */
static void test_steered_domain(void)
{
    static char job[8192];
    static const char tail[] = "data/result\"";
    static const char steer[] = ",\"weights\":{\"a\":1},\"target_losses\":{\"a\":1,\"c\":0.1}";
    char files[2048], text[512];
    struct program p;
    snprintf(text, sizeof text, "%s/text.jsonl", world);
    write_text(text);
    write_lines("c.jsonl", "held out as a whole", 200);
    snprintf(files, sizeof files,
             "{\"path\":\"%s/text.jsonl\",\"format\":\"jsonl\",\"domain\":\"a\"},"
             "{\"path\":\"%s/c.jsonl\",\"format\":\"jsonl\",\"domain\":\"c\"}",
             world, world);
    make(&p, "data", files, 0.3);
    program_release(&p);

    snprintf(job, sizeof job, "%s",
             small_job("train", "steered", "{\"shape\":" SMALL_SHAPE "}",
                       ",\"budget\":{\"tokens\":6400},"
                       "\"validation\":{\"every_steps\":5,\"tokens\":512}"));
    char *at = strstr(job, tail) + strlen(tail);
    memmove(at + strlen(steer), at, strlen(at) + 1);
    memcpy(at, steer, strlen(steer));
    CHECK_INT(program_run(&p, job), 2);
    const char *message = event_string(program_last(&p, "error"), "message");
    CHECK(strstr(message, "domain c has 0 training tokens"), "%s", message);
    program_release(&p);
}

int main(void)
{
    CHECK(mkdtemp(world), "mkdtemp");
    test_steered_domain();
    world_remove();
    puts("ok dataset job");
    return 0;
}
