/* What begins and ends a text, from the files that stand beside a tokenizer. */
#include "trainer/data/ends.h"
#include "tests/support/check.h"
#include "trainer/formats/file.h"

static char dir[] = "/tmp/lathe-ends-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[PATH_ROOM];
    struct error err = { 0 };
    CHECK_OK(path_join(path, dir, name, &err), err);
    CHECK_OK(file_write(path, text, strlen(text), &err), err);
}

static struct ends found(const char *path)
{
    struct tokenizer *t;
    struct ends ends;
    struct error err = { 0 };
    CHECK_OK(tokenizer_open(&t, path, &err), err);
    ends_read(&ends, t, path);
    tokenizer_close(t);
    return ends;
}

static void expect(const char *path, int bos, int eos, int n, int first, int last)
{
    struct ends ends = found(path);
    CHECK_INT(ends.bos, bos);
    CHECK_INT(ends.eos, eos);
    CHECK_INT(ends.n_stops, n);
    CHECK_INT(ends.stop[0], first);
    CHECK_INT(ends.stop[n - 1], last);
}

/* Its tokens: 900 <|endoftext|>, 901 <|im_start|>, 902 <|im_end|>, 906 the last. */
static void take_tokenizer(void)
{
    char command[PATH_ROOM + 128];
    const char *source = getenv("LATHE_SOURCE_DIR");
    if (!source) SKIP("LATHE_SOURCE_DIR is not set; run through ctest");
    snprintf(command, sizeof command, "cp '%s/tests/golden/tokenizer_qwen2/tokenizer.json' %s",
             source, dir);
    CHECK(!system(command), "%s", command);
}

static void write_again(void)
{
    struct tokenizer *t;
    struct error err = { 0 };
    char copy[PATH_ROOM];
    struct ends ends = found(dir);
    CHECK_OK(path_join(copy, dir, "copy", &err), err);
    CHECK_OK(dir_make(copy, &err), err);
    CHECK_OK(tokenizer_open(&t, dir, &err), err);
    CHECK_OK(t->save(t, copy, &err), err);
    CHECK_OK(ends_write(&ends, t, 512, copy, &err), err);
    tokenizer_close(t);
    expect(copy, 901, 902, 2, 902, 900);
}

int main(void)
{
    char command[64], file[PATH_ROOM];
    struct error err = { 0 };
    CHECK(mkdtemp(dir), "mkdtemp");
    take_tokenizer();
    expect(dir, -1, 900, 1, 900, 900);
    put("config.json", "{\"eos_token_id\":903}");
    expect(dir, -1, 903, 1, 903, 903);
    put("generation_config.json", "{\"eos_token_id\":[902,907,900,902]}");
    put("tokenizer_config.json",
        "{\"model_max_length\":1000000000000000019884624838656,"
        "\"bos_token\":{\"content\":\"<|im_start|>\"},\"eos_token\":\"<|im_end|>\"}");
    expect(dir, 901, 902, 2, 902, 900);
    CHECK_OK(path_join(file, dir, "tokenizer.json", &err), err);
    expect(file, 901, 902, 2, 902, 900);
    write_again();
    put("tokenizer_config.json", "{\"bos_token\":\"two words\",\"eos_token\":");
    expect(dir, -1, 902, 2, 902, 900);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK(!system(command), "%s", command);
    puts("ok");
    return 0;
}
