#include "server/pg/pg_listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/log.h"
#include "server/pg/pg_conn.h"

enum { MAX_CHANNELS = 8, LISTEN_TEXT = 80 };

struct pg_listener {
    struct pg_conn conn;
    char *conninfo;
    const char *const *channels;
    int n_channels;
    bool listening; /* said on this connection */
    char sql[MAX_CHANNELS][LISTEN_TEXT];
    struct pg_query queries[MAX_CHANNELS];
    void (*heard)(void *data, const char *channel, const char *payload);
    void (*closed)(void *data);
    void *data, *closed_data;
};

static void on_listening(struct pg_query *query, PGresult *rows, const struct error *err)
{
    struct pg_listener *l = query->data;
    (void)rows;
    if (err->status) {
        l->listening = false;
        if (err->status != E_CANCELLED) log_warn("postgres: listen: %s", err->text);
        return;
    }
    for (int i = 0; !query->and_then && i < l->n_channels && !l->closed; i++)
        l->heard(l->data, l->channels[i], NULL);
}

static void on_up(struct pg_conn *conn)
{
    struct pg_listener *l = conn->hooks.data;
    if (l->listening) return;
    l->listening = true;
    for (int i = 0; i < l->n_channels; i++) {
        snprintf(l->sql[i], LISTEN_TEXT, "listen %s", l->channels[i]);
        l->queries[i] =
            (struct pg_query){ .sql = l->sql[i], .dynamic = true, .done = on_listening, .data = l };
        if (i) l->queries[i - 1].and_then = &l->queries[i];
    }
    pg_conn_send(conn, &l->queries[0]);
}

static void on_down(struct pg_conn *conn)
{
    ((struct pg_listener *)conn->hooks.data)->listening = false;
}

static void on_notified(struct pg_conn *conn, const char *channel, const char *payload)
{
    struct pg_listener *l = conn->hooks.data;
    if (!l->closed) l->heard(l->data, channel, payload);
}

struct pg_listener *pg_listen(uv_loop_t *loop, const char *conninfo, const char *const *channels,
                              void (*heard)(void *data, const char *channel, const char *payload),
                              void *data)
{
    struct pg_listener *l = calloc(1, sizeof *l);
    if (!l) abort();
    l->conninfo = strdup(conninfo);
    l->channels = channels;
    while (channels[l->n_channels]) l->n_channels++;
    assert(l->n_channels > 0 && l->n_channels <= MAX_CHANNELS);
    l->heard = heard;
    l->data = data;
    struct pg_conn_hooks hooks = {
        .up = on_up, .down = on_down, .notified = on_notified, .data = l
    };
    pg_conn_init(&l->conn, loop, l->conninfo, "lathed listen", 15000, &hooks);
    return l;
}

static void on_closed(struct pg_conn *conn)
{
    struct pg_listener *l = conn->hooks.data;
    l->closed(l->closed_data);
    free(l->conninfo);
    free(l);
}

void pg_listener_close(struct pg_listener *listener, void (*closed)(void *data), void *data)
{
    listener->closed = closed;
    listener->closed_data = data;
    pg_conn_close(&listener->conn, on_closed);
}
