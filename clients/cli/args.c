#include "clients/cli/args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct opt args_global[] = {
    { "server", 0, "URL", "the service; default: LATHE_SERVER, then the data directory's file" },
    { "token", 0, "TOKEN", "access token; default: LATHE_TOKEN, then the data directory's file" },
    { "data-dir", 0, "DIR",
      "where lathed keeps both; default: LATHE_DATA_DIR or\n"
      "~/.local/share/lathe" },
    { "json", 0, NULL, "print what the service says as JSON, for programs" },
    { "quiet", 'q', NULL, "print ids alone, for scripts" },
    { "help", 'h', NULL, "explain this command" },
    { "version", 0, NULL, "print the version" },
    { NULL, 0, NULL, NULL },
};

static const struct opt *find_name(const struct opt *opts, const char *name, size_t len)
{
    for (; opts && opts->name; opts++)
        if (strlen(opts->name) == len && !memcmp(opts->name, name, len)) return opts;
    return NULL;
}

static const struct opt *find_letter(const struct opt *opts, char letter)
{
    for (; opts && opts->name; opts++)
        if (opts->letter == letter) return opts;
    return NULL;
}

static void fall_back(struct args *args);

static const struct opt *find_long(struct args *args, const char *name, size_t len)
{
    const struct opt *found = find_name(args_global, name, len);
    if (!found) fall_back(args);
    return found || !args->verb ? found : find_name(args->verb->opts, name, len);
}

static const struct opt *find_short(struct args *args, char letter)
{
    const struct opt *found = find_letter(args_global, letter);
    if (!found) fall_back(args);
    return found || !args->verb ? found : find_letter(args->verb->opts, letter);
}

static enum status unknown_option(const struct args *args, const char *word, struct error *err)
{
    if (!args->verb)
        return fail(err, E_INPUT,
                    "unknown option %s (options of a command come after its name); "
                    "try: lathe --help",
                    word);
    return fail(err, E_INPUT, "unknown option %s; try: lathe %s %s --help", word, args->group->name,
                args->verb->name);
}

static enum status give(struct args *args, const struct opt *opt, const char *value,
                        struct error *err)
{
    if (args->n_given == ARGS_MAX) return fail(err, E_INPUT, "more than %d options", ARGS_MAX);
    if (!strcmp(opt->name, "help")) args->help = true;
    if (!strcmp(opt->name, "version")) args->version = true;
    args->given[args->n_given].opt = opt;
    args->given[args->n_given++].value = value ? value : "";
    return OK;
}

/* One word that starts with '-'; `*next` moves on when the value is the following word. */
static enum status read_option(struct args *args, int argc, char **argv, int *next,
                               struct error *err)
{
    const char *word = argv[*next], *equals = strchr(word, '=');
    bool is_long = word[1] == '-';
    size_t len = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
    const struct opt *opt = is_long   ? find_long(args, word + 2, len)
                            : word[2] ? NULL
                                      : find_short(args, word[1]);
    if (!opt) return unknown_option(args, word, err);
    const char *value = is_long && equals ? equals + 1 : NULL;
    if (!opt->value && value) return fail(err, E_INPUT, "--%s takes no value", opt->name);
    if (opt->value && !value) {
        if (*next + 1 >= argc) return fail(err, E_INPUT, "--%s needs %s", opt->name, opt->value);
        value = argv[++*next];
    }
    return give(args, opt, value, err);
}

static enum status name_group(struct args *args, const struct group *groups, const char *word,
                              struct error *err)
{
    for (const struct group *g = groups; g->name; g++)
        if (!strcmp(g->name, word)) args->group = g;
    if (args->group) return OK;
    return fail(err, E_INPUT, "no command '%s'; try: lathe --help", word);
}

static const struct verb *find_verb(const struct group *group, const char *word)
{
    for (const struct verb *v = group->verbs; v->name; v++)
        if (!strcmp(v->name, word)) return v;
    return NULL;
}

static void fall_back(struct args *args)
{
    if (args->group && !args->verb && args->group->fallback)
        args->verb = find_verb(args->group, args->group->fallback);
}

static enum status add_operand(struct args *args, const char *word, struct error *err)
{
    if (args->n_operands == ARGS_MAX) return fail(err, E_INPUT, "more than %d words", ARGS_MAX);
    args->operands[args->n_operands++] = word;
    return OK;
}

static enum status read_word(struct args *args, const struct group *groups, const char *word,
                             struct error *err)
{
    if (!args->group) return name_group(args, groups, word, err);
    if (args->verb) return add_operand(args, word, err);
    args->verb = find_verb(args->group, word);
    if (args->verb) return OK;
    fall_back(args);
    if (args->verb && args->verb->max_operands > 0) return add_operand(args, word, err);
    args->verb = NULL;
    return fail(err, E_INPUT, "no command '%s %s'; try: lathe %s --help", args->group->name, word,
                args->group->name);
}

static enum status check_operands(const struct args *args, struct error *err)
{
    const struct verb *verb = args->verb;
    if (args->n_operands >= verb->min_operands && args->n_operands <= verb->max_operands) return OK;
    return fail(err, E_INPUT, "usage: lathe %s %s [options]%s%s; try: lathe %s %s --help",
                args->group->name, verb->name, *verb->operands ? " " : "", verb->operands,
                args->group->name, verb->name);
}

static bool is_option(const char *word) { return word[0] == '-' && word[1]; }

enum status args_parse(struct args *args, const struct group *groups, int argc, char **argv,
                       struct error *err)
{
    bool only_words = false;
    memset(args, 0, sizeof *args);
    for (int i = 1; i < argc; i++) {
        if (!only_words && !strcmp(argv[i], "--")) {
            only_words = true;
        } else if (!only_words && is_option(argv[i])) {
            TRY(read_option(args, argc, argv, &i, err));
        } else {
            TRY(read_word(args, groups, argv[i], err));
        }
    }
    if (args->help || args->version) return OK;
    if (!args->group) return fail(err, E_INPUT, "no command given; try: lathe --help");
    fall_back(args);
    if (!args->verb)
        return fail(err, E_INPUT, "'%s' needs a verb; try: lathe %s --help", args->group->name,
                    args->group->name);
    return check_operands(args, err);
}

const char *args_each(const struct args *args, const char *name, int i)
{
    for (int k = 0; k < args->n_given; k++)
        if (!strcmp(args->given[k].opt->name, name) && i-- == 0) return args->given[k].value;
    return NULL;
}

const char *args_get(const struct args *args, const char *name)
{
    for (int k = args->n_given; k-- > 0;)
        if (!strcmp(args->given[k].opt->name, name)) return args->given[k].value;
    return NULL;
}

bool args_has(const struct args *args, const char *name) { return args_get(args, name); }

int64_t args_int(const struct args *args, const char *name, int64_t min, int64_t max,
                 int64_t otherwise, struct error *err)
{
    const char *text = args_get(args, name);
    if (!text) return otherwise;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (!errno && *text && !*end && value >= min && value <= max) return value;
    fail(err, E_INPUT, "--%s is '%s'; it must be a whole number, %lld..%lld", name, text,
         (long long)min, (long long)max);
    return otherwise;
}

/* Help text continues below itself: "\n" in it starts a line at the same column. */
static void print_indented(FILE *out, const char *text, int indent)
{
    for (; *text; text++) {
        fputc(*text, out);
        if (*text == '\n') fprintf(out, "%*s", indent, "");
    }
    fputc('\n', out);
}

static void print_opts(const struct opt *opts, FILE *out)
{
    for (; opts && opts->name; opts++) {
        char left[64], letter[8] = "";
        if (opts->letter) snprintf(letter, sizeof letter, "-%c, ", opts->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, opts->name, opts->value ? " " : "",
                 opts->value ? opts->value : "");
        fprintf(out, "  %-26s ", left);
        print_indented(out, opts->help, 29);
    }
}

static void help_verb(const struct args *args, FILE *out)
{
    const struct verb *verb = args->verb;
    fprintf(out, "lathe %s %s: %s\n\nUsage: lathe %s %s [options]%s%s\n", args->group->name,
            verb->name, verb->summary, args->group->name, verb->name, *verb->operands ? " " : "",
            verb->operands);
    if (verb->opts && verb->opts->name) fprintf(out, "\nOptions\n");
    print_opts(verb->opts, out);
    fprintf(out, "\nFor every command\n");
    print_opts(args_global, out);
    if (verb->manual) fprintf(out, "\n%s", verb->manual);
}

static void help_group(const struct group *group, FILE *out)
{
    fprintf(out, "lathe %s: %s\n\n", group->name, group->summary);
    for (const struct verb *v = group->verbs; v->name; v++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", v->name, v->operands);
        fprintf(out, "  lathe %s %-20s %s\n", group->name, left, v->summary);
    }
    if (group->manual) fprintf(out, "\n%s", group->manual);
    fprintf(out, "\nlathe %s VERB --help explains one of them.\n", group->name);
}

static const char *const program_manual =
    "How a search goes, from text to a shape\n"
    "  lathe dataset create --name books --text books.txt\n"
    "  lathe search create --dataset data_1 --uniform 8,128,4,4,352 --train-tokens 400k --ratio "
    "0.7\n"
    "  lathe search watch srch_1\n"
    "  lathe search shapes srch_1 --ratios 0.1,0.3,0.5,0.7\n"
    "  lathe compare create --architecture arch_57 --tokens 400k --seeds 1,2\n"
    "  lathe compare watch cmp_1\n"
    "\n"
    "Exit codes: 0 done; 2 the input is wrong, trying again will not help; 75 not now, try\n"
    "again later (no answer from the service, or it is busy); 1 anything else, also when what\n"
    "was watched failed.\n";

static void help_program(const struct group *groups, FILE *out)
{
    fprintf(out, "lathe: architecture search for language models, from the command line\n\n"
                 "Usage: lathe COMMAND VERB [options] [ARGUMENT...]\n\nCommands\n");
    for (const struct group *g = groups; g->name; g++)
        fprintf(out, "  %-14s %s\n", g->name, g->summary);
    fprintf(out, "\nlathe COMMAND --help and lathe COMMAND VERB --help say more.\n"
                 "\nFor every command\n");
    print_opts(args_global, out);
    fprintf(out, "\n%s", program_manual);
}

void args_help(const struct args *args, const struct group *groups, FILE *out)
{
    if (args->verb)
        help_verb(args, out);
    else if (args->group)
        help_group(args->group, out);
    else
        help_program(groups, out);
}
