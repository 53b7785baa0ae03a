#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

#include <uv.h>

/*
 * Tells systemd how we are (sd_notify's protocol, without its library): a datagram to the
 * socket in NOTIFY_SOCKET, nothing when that is not set.
 *
 * notify_watchdog sends WATCHDOG=1 at half the interval that WATCHDOG_USEC asks for, from
 * the loop: a loop that hangs is restarted. It starts nothing when it is not wanted.
 */
void notify_state(const char *state); /* "READY=1", "STOPPING=1", "STATUS=..." */

struct notify_watchdog {
    uv_timer_t timer;
};
void notify_watchdog_open(struct notify_watchdog *w, uv_loop_t *loop);
void notify_watchdog_close(struct notify_watchdog *w);

#endif
