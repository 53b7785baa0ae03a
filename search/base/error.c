#include "search/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum status fail(struct error *err, enum status status, const char *fmt, ...)
{
    if (err->status) return status;

    err->status = status;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    return status;
}

enum status fail_in(struct error *err, const char *fmt, ...)
{
    char context[sizeof err->text], both[2 * sizeof err->text + 2];
    va_list args;
    va_start(args, fmt);
    vsnprintf(context, sizeof context, fmt, args);
    va_end(args);
    snprintf(both, sizeof both, "%s: %s", context, err->text);
    memcpy(err->text, both, sizeof err->text);
    err->text[sizeof err->text - 1] = '\0';
    return err->status;
}

const char *status_name(enum status status)
{
    switch (status) {
    case OK:         return "ok";
    case E_INPUT:    return "input";
    case E_MISSING:  return "missing";
    case E_CONFLICT: return "conflict";
    case E_STALE:    return "stale";
    case E_LIMIT:    return "limit";
    case E_BUSY:     return "busy";
    case E_CANCELLED: return "cancelled";
    case E_MEMORY:   return "memory";
    case E_IO:       return "io";
    case E_DB:       return "db";
    }
    return "unknown";
}

int status_exit_code(enum status status)
{
    switch (status) {
    case OK: return 0;
    case E_INPUT:
    case E_MISSING:
    case E_LIMIT: return 2;
    case E_BUSY:
    case E_CANCELLED: return 75;
    default: return 1;
    }
}
