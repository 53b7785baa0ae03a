#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "server/http/exchange.h"
#include "server/http/range.h"

static void describe(struct request *req, const char *type, const char *name, const char *etag)
{
    reply_header(req, "Content-Type", type);
    reply_header(req, "Accept-Ranges", "bytes");
    if (name)
        reply_header(req, "Content-Disposition",
                     request_printf(req, "attachment; filename=\"%s\"", name));
    if (!etag) return;
    reply_header(req, "ETag", request_printf(req, "\"%s\"", etag));
    reply_header(req, "Cache-Control", "private, no-cache");
}

static void send_part(struct request *req, int fd, int status, int64_t first, int64_t n)
{
    struct MHD_Response *response =
        MHD_create_response_from_fd_at_offset64((uint64_t)n, fd, (uint64_t)first);
    if (!response) abort();
    exchange_of(req)->n_reply = (uint64_t)n;
    exchange_reply(exchange_of(req), status, response);
}

/* A range of an older version would be glued to the newer one: If-Range must match. */
static const char *range_wanted(struct request *req, const char *etag)
{
    const char *same = request_header(req, "If-Range");
    if (same && (!etag || strcmp(same, request_printf(req, "\"%s\"", etag)))) return NULL;
    return request_header(req, "Range");
}

void reply_file(struct request *req, int fd, const char *type, const char *name, const char *etag)
{
    struct stat st;
    struct range range;
    if (req->gone || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        reply_problem(req, 404, "missing", "the file is not there");
        return;
    }
    if (etag && request_etag_matches(req, "If-None-Match", etag)) {
        close(fd);
        reply_header(req, "ETag", request_printf(req, "\"%s\"", etag));
        reply_empty(req, 304);
        return;
    }
    int64_t size = st.st_size;
    enum range_kind kind = range_parse(range_wanted(req, etag), size, &range);
    if (kind == RANGE_BEYOND) {
        close(fd);
        reply_header(req, "Content-Range", request_printf(req, "bytes */%lld", (long long)size));
        reply_problem(req, 416, "range", "the file has %lld bytes", (long long)size);
        return;
    }
    describe(req, type, name, etag);
    if (kind == RANGE_GOOD)
        reply_header(req, "Content-Range",
                     request_printf(req, "bytes %lld-%lld/%lld", (long long)range.first,
                                    (long long)range.last, (long long)size));
    if (kind == RANGE_GOOD)
        send_part(req, fd, 206, range.first, range.last - range.first + 1);
    else
        send_part(req, fd, 200, 0, size);
}
