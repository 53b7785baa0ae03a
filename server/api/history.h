#ifndef SERVER_API_HISTORY_H
#define SERVER_API_HISTORY_H

#include "server/api/replay.h"
#include "server/http/request.h"

/*
 * The removals of searches that were asked for lately, kept in memory: rows of a trajectory
 * never change, so a question costs one look at what is new, and shapes come of a replay
 * here. At most HISTORY_BYTES are kept; the search that was asked for longest ago goes first.
 */
enum { HISTORY_BYTES = 64 * 1024 * 1024 };

struct history_item {
    int64_t id, step, tokens, params, params_non_embedding, flops_per_token, kv_bytes_per_token;
    double ratio;
    int type, layer; /* of what was removed, as in replay_narrow; type -1 for the source */
    bool by_query;
    bool kept; /* its weights are */
    char hash[HASH_HEX];
    char *shapes; /* what history_emit_shapes wrote, or NULL */
};

struct history {
    int n; /* ordinals 0 to n - 1 */
    struct history_item *item;
    struct replay start; /* at the source */
    int context;

    /* private */
    struct list link;
    char search[24];
    int capacity;
};

struct history_ask {
    struct request *req;
    const char *search; /* the number of its id */
    /* `history` is NULL when there is no such search, and lives until got returns. An error was
     * replied. */
    void (*got)(struct history_ask *ask, const struct history *history);
    void *data;

    /* private */
    struct pg_query query;
    const char *params[2];
    int from;
};

/* Lives in the request's memory. `got` comes later, or the request is answered with an error. */
void history_send(struct history_ask *ask);

/* Members "shape" and "human_shape" of an architecture, by replay from where `at` stands, which
 * moves on; written again from memory when they were asked for before. Ask in the order of
 * ordinals. E_DB when the replay differs from the checksum that is stored. */
struct history_place {
    struct replay replay;
    int ordinal;
};
struct history_place *history_place(struct request *req, const struct history *history);
enum status history_emit_shapes(const struct history *history, int ordinal,
                                struct history_place *at, struct emit *e, struct error *err);

#endif
