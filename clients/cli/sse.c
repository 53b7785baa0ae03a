#include "clients/cli/sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sse_init(struct sse *sse, void (*on_event)(void *context, const struct sse_event *event),
              void *context)
{
    memset(sse, 0, sizeof *sse);
    buf_init(&sse->line, SSE_MAX_EVENT_BYTES);
    buf_init(&sse->data, SSE_MAX_EVENT_BYTES);
    sse->on_event = on_event;
    sse->context = context;
}

void sse_release(struct sse *sse)
{
    buf_release(&sse->line);
    buf_release(&sse->data);
}

void sse_restart(struct sse *sse)
{
    buf_clear(&sse->line);
    buf_clear(&sse->data);
    sse->name[0] = '\0';
    memcpy(sse->id, sse->whole_id, sizeof sse->id);
    sse->after_cr = false;
}

static void dispatch(struct sse *sse)
{
    memcpy(sse->whole_id, sse->id, sizeof sse->whole_id);
    if (sse->data.len) {
        sse->data.bytes[sse->data.len - 1] = '\0'; /* the LF after the last line */
        const char *name = *sse->name ? sse->name : "message";
        struct sse_event event = { sse->id, name, sse->data.bytes };
        sse->on_event(sse->context, &event);
    }
    buf_clear(&sse->data);
    sse->name[0] = '\0';
}

static void take_field(struct sse *sse, const char *name, const char *value)
{
    if (!strcmp(name, "data")) {
        buf_puts(&sse->data, value);
        buf_putc(&sse->data, '\n');
    } else if (!strcmp(name, "event")) {
        snprintf(sse->name, sizeof sse->name, "%s", value);
    } else if (!strcmp(name, "id")) {
        snprintf(sse->id, sizeof sse->id, "%s", value);
    } else if (!strcmp(name, "retry")) {
        sse->retry_ms = (int)strtol(value, NULL, 10);
    }
}

static void take_line(struct sse *sse)
{
    char *line = sse->line.bytes;
    if (!sse->line.len) {
        dispatch(sse);
    } else if (*line != ':') {
        char *colon = strchr(line, ':');
        if (colon) *colon++ = '\0';
        if (colon && *colon == ' ') colon++;
        take_field(sse, line, colon ? colon : "");
    }
    buf_clear(&sse->line);
}

bool sse_feed(struct sse *sse, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        bool second_of_pair = c == '\n' && sse->after_cr;
        sse->after_cr = c == '\r';
        if (second_of_pair) continue;
        if (c == '\n' || c == '\r')
            take_line(sse);
        else
            buf_putc(&sse->line, c);
        if (sse->line.failed || sse->data.failed) return false;
    }
    return true;
}
