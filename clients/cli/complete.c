#include "clients/cli/complete.h"

#include <string.h>

static const struct opt *find_opt(const struct opt *opts, const char *word)
{
    for (; opts && opts->name; opts++)
        if ((!strncmp(word, "--", 2) && !strcmp(opts->name, word + 2)) ||
            (opts->letter && word[0] == '-' && word[1] == opts->letter && !word[2]))
            return opts;
    return NULL;
}

static bool takes_value(const struct verb *verb, const char *word)
{
    const struct opt *opt = find_opt(args_global, word);
    if (!opt && verb) opt = find_opt(verb->opts, word);
    return opt && opt->value;
}

static void print_opts(const struct opt *opts, FILE *out)
{
    for (; opts && opts->name; opts++) fprintf(out, "--%s\n", opts->name);
}

static void print_verbs(const struct group *group, FILE *out)
{
    for (const struct verb *v = group->verbs; v->name; v++) fprintf(out, "%s\n", v->name);
}

static void print_next(const struct group *groups, const struct group *group,
                       const struct verb *verb, const char *word, FILE *out)
{
    if (*word == '-') {
        print_opts(args_global, out);
        if (verb) print_opts(verb->opts, out);
    } else if (group && !verb) {
        print_verbs(group, out);
    } else if (!group) {
        for (const struct group *g = groups; g->name; g++) fprintf(out, "%s\n", g->name);
    }
}

static const struct group *find_group(const struct group *groups, const char *word)
{
    for (; groups->name; groups++)
        if (!strcmp(groups->name, word)) return groups;
    return NULL;
}

static const struct verb *find_verb(const struct group *group, const char *word)
{
    for (const struct verb *v = group->verbs; word && v->name; v++)
        if (!strcmp(v->name, word)) return v;
    return NULL;
}

void complete_print(const struct group *groups, int n_words, char **words, FILE *out)
{
    const struct group *group = NULL;
    const struct verb *verb = NULL;
    for (int i = 0; i < n_words - 1; i++) {
        if (words[i][0] == '-') {
            if (!takes_value(verb, words[i])) continue;
            if (++i == n_words - 1) return; /* the word to complete is a value */
        } else if (!group) {
            group = find_group(groups, words[i]);
        } else if (!verb) {
            verb = find_verb(group, words[i]);
        }
    }
    if (group && !verb && n_words && words[n_words - 1][0] == '-')
        verb = find_verb(group, group->fallback);
    print_next(groups, group, verb, n_words ? words[n_words - 1] : "", out);
}
