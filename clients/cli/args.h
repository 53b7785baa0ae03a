#ifndef CLIENTS_CLI_ARGS_H
#define CLIENTS_CLI_ARGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "search/base/error.h"

/*
 * The command line as data: a table of groups ("search"), each with verbs
 * ("create"), each with options. Parsing and every level of --help read the
 * same table, so help cannot go out of date.
 *
 *     lathe [global options] GROUP VERB [options] [ARGUMENT...]
 *
 * Options are --name VALUE or --name=VALUE, -x VALUE for those with a letter;
 * a flag takes no value; "--" ends options; an option may stand anywhere after
 * the program's name and may be given more than once (the last one wins, except
 * where args_each is used). A group with a `fallback` verb may be called without one.
 */
enum { ARGS_MAX = 128 };

struct opt {
    const char *name;  /* without dashes; NULL ends a table */
    char letter;       /* 0: none */
    const char *value; /* what --help calls the value; NULL: a flag */
    const char *help;
};

struct context;

struct verb {
    const char *name;     /* NULL ends a table */
    const char *operands; /* "ID", "FILE...", or "" */
    const char *summary;
    const char *manual; /* paragraphs and examples, below the options */
    const struct opt *opts;
    int min_operands, max_operands;
    int (*run)(struct context *ctx); /* returns an exit code */
};

struct group {
    const char *name; /* NULL ends a table */
    const char *summary;
    const char *manual;
    const struct verb *verbs;
    const char *fallback; /* the verb meant when none is named, or NULL */
};

struct args {
    const struct group *group;
    const struct verb *verb;
    bool help, version;
    int n_given, n_operands;
    struct {
        const struct opt *opt;
        const char *value;
    } given[ARGS_MAX];
    const char *operands[ARGS_MAX];
};

/* The options that every command takes. */
extern const struct opt args_global[];

/* Reads argv[1..]. With --help anywhere, names may be missing. Failures are E_INPUT
 * and end with the command that teaches more. */
enum status args_parse(struct args *args, const struct group *groups, int argc, char **argv,
                       struct error *err);

/* The last value given for an option, or NULL; flags give "". */
const char *args_get(const struct args *args, const char *name);
bool args_has(const struct args *args, const char *name);

/* The i-th value given for an option that may be repeated, or NULL. */
const char *args_each(const struct args *args, const char *name, int i);

/* A whole number within bounds, or the default when the option is absent. */
int64_t args_int(const struct args *args, const char *name, int64_t min, int64_t max,
                 int64_t otherwise, struct error *err);

/* Writes the help of what `args` names: the program, a group or a verb. */
void args_help(const struct args *args, const struct group *groups, FILE *out);

#endif
