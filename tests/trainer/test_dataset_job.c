/* Datasets through the program: a domain that is held out whole and then steered, and what ends a
 * document when the tokenizer does not say so by itself. */
#include "tests/trainer/program.h"
#include "trainer/data/tokenizer.h"
#include "trainer/formats/file.h"

/* The last event of a job on these files. */
static json_t *make(struct program *p, const char *dir, const char *files, double fraction,
                    const char *tokenizer)
{
    char job[8192];
    snprintf(job, sizeof job,
             "{\"schema\":\"lathe.job/1\",\"kind\":\"dataset\",\"work_dir\":\"%s/%s\",\"seed\":12,"
             "\"name\":\"d\",\"validation_fraction\":%g,\"tokenizer\":{%s},\"files\":[%s]}",
             world, dir, fraction, tokenizer, files);
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
    make(&p, "data", files, 0.3, "\"kind\":\"bytes\"");
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

/* ---- what ends a document ------------------------------------------------------------------- */

static void write_file(const char *name, const char *text)
{
    char path[PATH_ROOM];
    struct error err = { 0 };
    CHECK_OK(path_join(path, world, name, &err), err);
    CHECK_OK(file_write(path, text, strlen(text), &err), err);
}

/* The tokenizer of bytes with another name for id 256. */
static void write_tokenizer(const char *name)
{
    static const char usual[] = "<|endoftext|>";
    char path[PATH_ROOM], text[32768], *json;
    size_t len;
    struct error err = { 0 };
    struct tokenizer *t;
    tokenizer_bytes(&t);
    CHECK_OK(t->save(t, world, &err), err);
    tokenizer_close(t);
    snprintf(path, sizeof path, "%s/tokenizer.json", world);
    CHECK_OK(file_read(&json, &len, path, sizeof text, &err), err);
    char *at = strstr(json, usual);
    CHECK(at, "the end of text is not named");
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - json), json, name, at + strlen(usual));
    CHECK(!strstr(text, usual), "it is named twice");
    write_file("tokenizer.json", text);
    free(json);
}

/* Three documents of one byte and as many ends; `said` is what the job said on standard error. */
static void check_end(const char *tokenizer, int eod, char said[4096])
{
    char files[1024], hf[1024], path[512];
    struct program p;
    int before = dup(2);
    snprintf(path, sizeof path, "%s/said", world);
    FILE *f = fopen(path, "w+");
    CHECK(before >= 0 && f && dup2(fileno(f), 2) == 2, "no standard error");
    snprintf(files, sizeof files, "{\"path\":\"%s/one.jsonl\",\"format\":\"jsonl\"}", world);
    snprintf(hf, sizeof hf, "\"kind\":\"hf\",\"path\":\"%s%s\"", world, tokenizer);
    json_t *done = make(&p, "ends", files, 0, hf);
    dup2(before, 2);
    close(before);
    rewind(f);
    said[fread(said, 1, 4095, f)] = '\0';
    fclose(f);
    CHECK_INT(event_int(done, "tokens"), eod < 0 ? 3 : 6);
    CHECK_INT(event_int(json_object_get(json_object_get(done, "dataset"), "tokenizer"), "eod"),
              eod);
    program_release(&p);
}

static void test_end_of_document(void)
{
    char said[4096];
    write_lines("one.jsonl", "x", 3);
    write_tokenizer("<\xef\xbd\x9c\x65nd\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>");
    check_end("", 256, said);
    write_tokenizer("<stop>");
    check_end("", -1, said);
    CHECK(strstr(said, "WARN") && strstr(said, "documents are joined without a separator"), "%s",
          said);
    write_file("tokenizer_config.json", "{\"eos_token\":{\"content\":\"<stop>\"},\"n\":1e999}");
    check_end("", 256, said);
    CHECK(!strstr(said, "joined"), "%s", said);
    write_file("tokenizer_config.json", "{\"eos_token\":\"<stop>\"}");
    check_end("/tokenizer.json", 256, said);
    write_file("tokenizer_config.json", "{\"eos_token\":\"<another>\"}");
    check_end("", -1, said);
}

int main(void)
{
    CHECK(mkdtemp(world), "mkdtemp");
    test_steered_domain();
    test_end_of_document();
    world_remove();
    puts("ok dataset job");
    return 0;
}
