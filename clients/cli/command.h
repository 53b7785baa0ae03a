#ifndef CLIENTS_CLI_COMMAND_H
#define CLIENTS_CLI_COMMAND_H

#include "clients/cli/args.h"
#include "clients/cli/http.h"
#include "clients/cli/show.h"

/*
 * What every command has, and the steps they share. A command's run() returns an
 * exit code; on failure it returns command_fail, which says why on standard
 * error. Results go to standard output: JSON with --json, ids alone with
 * --quiet, else tables; hints for people go to standard error, so that they never
 * end up in a pipe.
 */
struct context {
    const struct args *args;
    struct http http;
    bool json, quiet;
    struct error err;
};

extern const struct group commands[];

/* The groups, each in its own file. */
extern const struct verb upload_verbs[], dataset_verbs[], model_verbs[], search_verbs[],
    architecture_verbs[], run_verbs[], compare_verbs[], export_verbs[], eval_verbs[], job_verbs[],
    worker_verbs[], token_verbs[], event_verbs[], status_verbs[];

/* "lathe: <text>" on standard error, and the exit code for the status. */
int command_fail(struct context *ctx);

/* Prints a document with --json; false when people are to be shown something else. */
bool command_print_json(struct context *ctx, json_t *json);

/* Builds "/v1/<collection>/<id><rest>", refusing an id that is none. */
enum status command_path(struct context *ctx, char out[HTTP_MAX_PATH], const char *collection,
                         const char *id, const char *rest);

/* GET one resource named by the first operand, and show it as a card. */
int command_get(struct context *ctx, const char *collection, const struct show *card);

/* GET pages of a list until --limit (default 50) items are there, and show them.
 * `filters` (NULL-terminated, may be NULL) are options that become query members. */
int command_list(struct context *ctx, const char *collection, const char *const *filters,
                 const struct show *columns);

/* All items below `path` up to `limit`, page after page, as one array in *items. */
enum status command_pages(struct context *ctx, const char *path, int64_t limit, json_t **items);

/* POST a body (taken) and show what was made: JSON, the id, or "id name state" and a hint. */
int command_create(struct context *ctx, const char *collection, json_t *body, const char *hint,
                   const struct show *card);

/* POST /<verb> on the first operand: the verb's name is cancel, pause, resume, drain... */
int command_wish(struct context *ctx, const char *collection, const struct show *card);

/* DELETE of the first operand. */
int command_delete(struct context *ctx, const char *collection);

/* GET /v1/<path> and print the document: always JSON. */
int command_document(struct context *ctx, const char *path);

/* Sends a file; *out is the upload. A bar on a terminal while it goes. */
enum status command_upload(struct context *ctx, const char *path, json_t **out);

/* Options that lists share. */
#define COMMAND_LIST_OPTS                                                                          \
    { "limit", 'n', "N", "at most so many (default 50; 0: all)" },                                 \
    {                                                                                              \
        "order-by", 0, "MEMBER", "sort by a member; -MEMBER sorts downwards"                       \
    }

/* Of lists of what is made of a run, an architecture or a model. */
#define COMMAND_SUBJECT_LIST_OPTS                                                                  \
    { "state", 0, "STATE", "only those queued, running, succeeded, failed, cancelled..." },        \
        { "run", 0, "ID", "only those of one run" },                                               \
        { "architecture", 'a', "ID", "only those of one architecture" },                           \
        { "model", 'm', "ID", "only those of one model" }, COMMAND_LIST_OPTS

#endif
