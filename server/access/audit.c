#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/log.h"
#include "server/access/access.h"
#include "server/http/request.h"
#include "server/pg/pg_pool.h"

static const char insert_row[] = "insert into audit (who, method, path, status, request_id)"
                                 " values ($1, $2, left($3, 500), $4, $5)";

/* Outlives the request, so it holds copies. */
struct entry {
    struct pg_query query;
    const char *params[5];
    char who[32], method[16], status[8], id[72];
    char path[];
};

static void on_written(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct entry *entry = query->data;
    (void)rows;
    if (err->status)
        log_warn("audit: not stored (%s): %s %s %s %s %s", err->text, entry->who, entry->method,
                 entry->path, entry->status, entry->id);
    free(entry);
}

void audit_ended(struct request *req, int status)
{
    if (!req->route || !strcmp(req->method, "GET")) return;
    struct entry *entry = calloc(1, sizeof *entry + strlen(req->path) + 1);
    if (!entry) abort();
    snprintf(entry->who, sizeof entry->who, "%s", req->who->id);
    snprintf(entry->method, sizeof entry->method, "%s", req->method);
    snprintf(entry->status, sizeof entry->status, "%d", status);
    snprintf(entry->id, sizeof entry->id, "%s", req->id);
    strcpy(entry->path, req->path);
    entry->params[0] = entry->who, entry->params[1] = entry->method, entry->params[2] = entry->path;
    entry->params[3] = entry->status, entry->params[4] = entry->id;
    entry->query = (struct pg_query){
        .sql = insert_row, .n_params = 5, .params = entry->params, .done = on_written, .data = entry
    };
    pg_pool_send(req->app->pool, &entry->query);
}
