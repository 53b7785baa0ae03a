#ifndef CLIENTS_CLI_SPEC_H
#define CLIENTS_CLI_SPEC_H

#include <jansson.h>
#include "clients/cli/args.h"

/*
 * Bodies of create requests: a JSON file (-f FILE, "-" is standard input), then
 * options over it, then --set PATH=VALUE over both. What an option sets is a
 * table, so that every command says only which of its options go where.
 * Values are not judged here; the service does that and names the member.
 */
enum spec_kind {
    SPEC_STRING,
    SPEC_COUNT, /* 400k, 1.5M */
    SPEC_NUMBER,
    SPEC_NUMBERS, /* 0.1,0.2 */
    SPEC_STRINGS, /* heads,ffn */
    SPEC_SHAPE,   /* a file with a shape document */
    SPEC_UNIFORM, /* LAYERS,HIDDEN,HEADS,KV_HEADS,FFN */
};

struct spec {
    const char *option; /* NULL ends a table */
    const char *path;   /* "source.train.tokens" */
    enum spec_kind kind;
};

/* The options that every command with a body takes; place them in its table. */
#define SPEC_OPTS                                                                                  \
    { "file", 'f', "FILE", "start from this JSON body; - reads standard input" },                  \
    {                                                                                              \
        "set", 's', "PATH=VALUE", "set any member, for instance recipe.batch_size=8"               \
    }

/* The caller decrefs *body. */
enum status spec_build(const struct args *args, const struct spec *table, json_t **body,
                       struct error *err);

/* Sets a member by its dotted path, making objects on the way; takes `value`. */
enum status spec_set(json_t *body, const char *path, json_t *value, struct error *err);

/* The member of a run, architecture or model by its id: "run_3" becomes "run". E_INPUT says what an
 * id looks like. */
enum status spec_subject(json_t *body, const char *id, struct error *err);

/* Reads a JSON document from a file or standard input ("-"). */
enum status spec_read(const char *path, json_t **out, struct error *err);

#endif
