#include "clients/cli/stream.h"

#include <stdlib.h>
#include <string.h>
#include "search/base/clock.h"

enum { FIRST_PAUSE_MS = 250, MAX_PROBLEM_BYTES = 256 * 1024 };

int64_t stream_now_ms(void) { return clock_ns() / 1000000; }

enum status stream_open(struct stream *stream, const struct where *where, const char *path,
                        const char *after,
                        void (*on_event)(void *context, const struct sse_event *event),
                        void *context, struct error *err)
{
    memset(stream, 0, sizeof *stream);
    stream->where = *where;
    stream->pause_ms = FIRST_PAUSE_MS;
    snprintf(stream->path, sizeof stream->path, "%s", path);
    sse_init(&stream->sse, on_event, context);
    buf_init(&stream->problem, MAX_PROBLEM_BYTES);
    if (after) snprintf(stream->sse.whole_id, sizeof stream->sse.whole_id, "%s", after);
    stream->multi = curl_multi_init();
    return stream->multi ? OK : fail(err, E_IO, "libcurl cannot start");
}

static void disconnect(struct stream *stream)
{
    if (stream->curl) curl_multi_remove_handle(stream->multi, stream->curl);
    curl_easy_cleanup(stream->curl);
    curl_slist_free_all(stream->headers);
    stream->curl = NULL;
    stream->headers = NULL;
    stream->connected = false;
}

void stream_close(struct stream *stream)
{
    disconnect(stream);
    curl_multi_cleanup(stream->multi);
    sse_release(&stream->sse);
    buf_release(&stream->problem);
}

static size_t on_bytes(char *bytes, size_t size, size_t n, void *context)
{
    struct stream *stream = context;
    long code = 0;
    curl_easy_getinfo(stream->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code != 200) {
        buf_put(&stream->problem, bytes, size * n);
        return size * n;
    }
    stream->connected = true;
    stream->pause_ms = FIRST_PAUSE_MS;
    return sse_feed(&stream->sse, bytes, size * n) ? size * n : 0;
}

static void add_headers(struct stream *stream)
{
    char line[SSE_MAX_ID + 32];
    stream->headers = http_headers(&stream->where, "text/event-stream");
    snprintf(line, sizeof line, "Last-Event-ID: %s", stream->sse.id);
    if (*stream->sse.id) stream->headers = curl_slist_append(stream->headers, line);
}

static enum status connect_again(struct stream *stream, struct error *err)
{
    char url[WHERE_MAX + HTTP_MAX_PATH];
    snprintf(url, sizeof url, "%s%s", stream->where.server, stream->path);
    CURL *curl = stream->curl = curl_easy_init();
    if (!curl) return fail(err, E_IO, "libcurl cannot start");
    sse_restart(&stream->sse);
    buf_clear(&stream->problem);
    add_headers(stream);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, stream->headers);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STREAM_SILENT_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, stream);
    curl_multi_add_handle(stream->multi, curl);
    return OK;
}

static void pause_before_next(struct stream *stream)
{
    int asked = stream->sse.retry_ms;
    int ms = asked > stream->pause_ms && asked <= STREAM_MAX_PAUSE_MS ? asked : stream->pause_ms;
    stream->retry_at_ms = stream_now_ms() + ms;
    stream->pause_ms =
        stream->pause_ms * 2 < STREAM_MAX_PAUSE_MS ? stream->pause_ms * 2 : STREAM_MAX_PAUSE_MS;
}

/* The transfer is over: a refusal is returned, everything else means try again. */
static enum status hung_up(struct stream *stream, CURLcode done, struct error *err)
{
    long code = 0;
    struct error why = { 0 };
    curl_easy_getinfo(stream->curl, CURLINFO_RESPONSE_CODE, &code);
    disconnect(stream);
    pause_before_next(stream);
    if (code == 200 || (done && !code)) return OK;
    http_problem(code, stream->problem.bytes, stream->problem.len, &why);
    if (why.status == E_BUSY || why.status == E_IO) return OK;
    *err = why;
    return why.status;
}

enum status stream_wait(struct stream *stream, int ms, struct error *err)
{
    int running, left;
    if (!stream->curl && stream_now_ms() >= stream->retry_at_ms) TRY(connect_again(stream, err));
    curl_multi_perform(stream->multi, &running);
    curl_multi_poll(stream->multi, NULL, 0, ms, NULL);
    curl_multi_perform(stream->multi, &running);
    for (CURLMsg *msg; (msg = curl_multi_info_read(stream->multi, &left));)
        if (msg->msg == CURLMSG_DONE) return hung_up(stream, msg->data.result, err);
    return OK;
}
