#include "server/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify_state(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof to.sun_path) return;
    strcpy(to.sun_path, path);
    if (*path == '@') to.sun_path[0] = 0; /* an abstract name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, len);
    (void)sent; /* nobody to tell */
    close(fd);
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
    notify_state("WATCHDOG=1");
}

void notify_watchdog_open(struct notify_watchdog *w, uv_loop_t *loop)
{
    const char *interval = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    unsigned long long ms = interval ? strtoull(interval, NULL, 10) / 2000 : 0;
    uv_timer_init(loop, &w->timer);
    uv_unref((uv_handle_t *)&w->timer);
    if (ms && (!pid || atol(pid) == (long)getpid())) uv_timer_start(&w->timer, on_timer, ms, ms);
}

void notify_watchdog_close(struct notify_watchdog *w) { uv_close((uv_handle_t *)&w->timer, NULL); }
