#include "server/http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t read_address(union address *out, const char *text, int port)
{
    *out = (union address){ 0 };
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)port);
        return sizeof out->v4;
    }
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        return sizeof out->v6;
    }
    return 0;
}

static bool bind_and_listen(int fd, union address *address, socklen_t len)
{
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    return !bind(fd, &address->any, len) && !listen(fd, BACKLOG) &&
           !getsockname(fd, &address->any, &len);
}

int listen_on(const char *text, int port, int *got, struct error *err)
{
    union address address;
    socklen_t len = read_address(&address, text, port);
    if (!len) {
        fail(err, E_INPUT, "\"%s\" is not a numeric address to listen on", text);
        return -1;
    }
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || !bind_and_listen(fd, &address, len)) {
        fail(err, E_IO, "cannot listen on %s port %d: %s", text, port, strerror(errno));
        if (fd >= 0) close(fd);
        return -1;
    }
    bool v4 = address.any.sa_family == AF_INET;
    *got = ntohs(v4 ? address.v4.sin_port : address.v6.sin6_port);
    return fd;
}
