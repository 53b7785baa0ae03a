#include "server/jobs/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include "server/jobs/places.h"

void batch_init(struct batch *b, size_t most, int64_t from)
{
    buf_init(&b->waiting, most);
    buf_init(&b->flying, most);
    buf_init(&b->sent, most + 2);
    b->waiting_to = b->flying_to = from;
}

void batch_release(struct batch *b)
{
    buf_release(&b->waiting);
    buf_release(&b->flying);
    buf_release(&b->sent);
}

void batch_add(struct batch *b, const struct app *app, const char *text, size_t len,
               int64_t end)
{
    if (b->waiting.len) buf_putc(&b->waiting, ',');
    places_put(&b->waiting, app, text, len);
    b->waiting_to = end;
}

void batch_pass(struct batch *b, int64_t end) { b->waiting_to = end; }

const char *batch_take(struct batch *b)
{
    if (!b->flying.len) {
        struct buf empty = b->flying;
        b->flying = b->waiting;
        b->waiting = empty;
        b->flying_to = b->waiting_to;
    }
    buf_clear(&b->sent);
    buf_putc(&b->sent, '[');
    buf_put(&b->sent, b->flying.bytes, b->flying.len);
    buf_putc(&b->sent, ']');
    snprintf(b->place, sizeof b->place, "%" PRId64, b->flying_to);
    return b->sent.bytes;
}

void batch_stored(struct batch *b) { buf_clear(&b->flying); }

void batch_drop(struct batch *b)
{
    buf_clear(&b->waiting);
    buf_clear(&b->flying);
}

bool batch_has_lines(const struct batch *b) { return b->flying.len || b->waiting.len; }

bool batch_is_behind(const struct batch *b) { return b->waiting_to != b->flying_to; }
