#include "clients/cli/args.h"
#include "clients/cli/command.h"
#include "clients/cli/spec.h"
#include "tests/support/check.h"

/* The command line as parsed, and what its options make of a body. */

static int nothing(struct context *ctx) { return ctx != NULL; }

static const struct opt opts[] = {
    { "ratio", 'r', "SHARE", "" }, { "wait", 'w', NULL, "" },     { "tokens", 0, "COUNT", "" },
    { "seeds", 0, "LIST", "" },    { "uniform", 0, "SHAPE", "" }, SPEC_OPTS,
    { NULL, 0, NULL, NULL },
};
static const struct verb verbs[] = {
    { "list", "", "", NULL, opts, 0, 0, nothing },
    { "get", "ID", "", NULL, opts, 1, 1, nothing },
    { NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};
static const struct group groups[] = {
    { "thing", "", NULL, verbs, "list" },
    { "other", "", NULL, verbs, NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

/* The words after "lathe", separated by blanks; NULL where a word is to be empty is not needed. */
static enum status parse(struct args *args, const char *line, struct error *err)
{
    static char copy[512];
    static char *argv[64];
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    argv[0] = copy;
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) argv[argc++] = word;
    memset(err, 0, sizeof *err);
    return args_parse(args, groups, argc, argv, err);
}

static void takes(void)
{
    struct args args;
    struct error err = { 0 };
    CHECK_OK(parse(&args, "thing get x_1 --ratio=0.5 -w --json", &err), err);
    CHECK_STR(args.verb->name, "get");
    CHECK_STR(args.operands[0], "x_1");
    CHECK_STR(args_get(&args, "ratio"), "0.5");
    CHECK(args_has(&args, "wait") && args_has(&args, "json") && !args_has(&args, "tokens"),
          "flags");

    CHECK_OK(parse(&args, "thing -r 0.1 -r 0.2", &err), err);
    CHECK_STR(args.verb->name, "list");
    CHECK_STR(args_get(&args, "ratio"), "0.2");
    CHECK_STR(args_each(&args, "ratio", 0), "0.1");

    CHECK_OK(parse(&args, "thing --json get x_1", &err), err);
    CHECK_STR(args.verb->name, "get");
    CHECK_OK(parse(&args, "thing get -- --odd", &err), err);
    CHECK_STR(args.operands[0], "--odd");
    CHECK_OK(parse(&args, "other --help", &err), err);
    CHECK(args.help && !args.verb, "help of a group");
}

static void refuses(void)
{
    static const struct {
        const char *line, *says;
    } wrong[] = {
        { "", "no command given" },
        { "nothing", "no command 'nothing'" },
        { "other", "'other' needs a verb" },
        { "other fly", "no command 'other fly'" },
        { "thing get", "usage: lathe thing get [options] ID" },
        { "thing get a b", "usage: lathe thing get [options] ID" },
        { "thing get a --ratio", "--ratio needs SHARE" },
        { "thing get a --wait=yes", "--wait takes no value" },
        { "thing get a --speed 3", "unknown option --speed; try: lathe thing get --help" },
        { "thing get a -x", "unknown option -x" },
        { "--ratio 3 thing", "unknown option --ratio" },
    };
    struct args args;
    struct error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_INT(parse(&args, wrong[i].line, &err), E_INPUT);
        CHECK(strstr(err.text, wrong[i].says), "'%s' said '%s'", wrong[i].line, err.text);
    }
}

static void numbers(void)
{
    struct args args;
    struct error err = { 0 };
    CHECK_OK(parse(&args, "thing --tokens 12", &err), err);
    CHECK_INT(args_int(&args, "tokens", 0, 100, 7, &err), 12);
    CHECK_INT(args_int(&args, "ratio", 0, 100, 7, &err), 7);
    CHECK_INT(err.status, OK);
    CHECK_INT(args_int(&args, "tokens", 0, 11, 7, &err), 7);
    CHECK_STR(err.text, "--tokens is '12'; it must be a whole number, 0..11");
}

static const struct spec specs[] = {
    { "ratio", "stop.ratio", SPEC_NUMBER },
    { "tokens", "budget.tokens", SPEC_COUNT },
    { "seeds", "seeds", SPEC_NUMBERS },
    { "uniform", "source.shape", SPEC_UNIFORM },
    { NULL, NULL, 0 },
};

static void check_body(const char *line, const char *expected)
{
    struct args args;
    struct error err = { 0 };
    json_t *body;
    CHECK_OK(parse(&args, line, &err), err);
    CHECK_OK(spec_build(&args, specs, &body, &err), err);
    char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
    CHECK_STR(text, expected);
    free(text);
    json_decref(body);
}

static void bodies(void)
{
    check_body("thing --ratio 0.5 --tokens 1.5M --seeds 1,2",
               "{\"budget\":{\"tokens\":1500000},\"seeds\":[1,2],\"stop\":{\"ratio\":0.5}}");
    check_body("thing --ratio 0.5 -s stop.ratio=0.25 -s a.b=word -s c=[1]",
               "{\"a\":{\"b\":\"word\"},\"c\":[1],\"stop\":{\"ratio\":0.25}}");
    check_body(
        "thing --uniform 1,8,2,1,20",
        "{\"source\":{\"shape\":{\"family\":\"llama\",\"head_dim\":4,\"hidden_size\":8,"
        "\"layers\":[{\"ffn\":20,\"kv_heads\":1,\"q_heads\":2}],\"norm_eps\":1e-5,"
        "\"rope_theta\":10000.0,\"schema\":\"lathe.shape/1\",\"tie_word_embeddings\":true}}}");
}

static void wrong_bodies(void)
{
    static const char *const lines[] = {
        "thing --ratio half",
        "thing --tokens 1.5",
        "thing --tokens -3",
        "thing --seeds 1,,2",
        "thing --uniform 1,2,3",
        "thing --set novalue",
        "thing --set =3",
        "thing --set a..b=3",
        "thing --file /nowhere/at/all",
        "thing --seeds 1 --set seeds.x=2",
    };
    struct args args;
    struct error err;
    json_t *body;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        CHECK_OK(parse(&args, lines[i], &err), err);
        CHECK(spec_build(&args, specs, &body, &err) == E_INPUT && *err.text && !body, "%s",
              lines[i]);
    }
}

int main(void)
{
    takes();
    refuses();
    numbers();
    bodies();
    wrong_bodies();
    puts("ok");
}
