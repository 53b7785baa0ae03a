#ifndef SERVER_PG_PG_LISTEN_H
#define SERVER_PG_PG_LISTEN_H

#include <uv.h>

/*
 * A connection of its own that listens on channels (LISTEN, NOTIFY). Notifications
 * are hints to look, never the news itself: some are lost while the connection is
 * down. So `heard` is called with payload NULL for every channel each time the
 * connection has come (back) up, which means "look now".
 *
 * `channels` is NULL-terminated and lives as long as the listener (at most 8).
 * Channel names are ours (letters and underscores), never from outside.
 */
struct pg_listener;

struct pg_listener *pg_listen(uv_loop_t *loop, const char *conninfo, const char *const *channels,
                              void (*heard)(void *data, const char *channel, const char *payload),
                              void *data);

void pg_listener_close(struct pg_listener *listener, void (*closed)(void *data), void *data);

#endif
