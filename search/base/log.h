#ifndef SEARCH_BASE_LOG_H
#define SEARCH_BASE_LOG_H

#include "search/base/error.h"

/*
 * One line on standard error for people and log collectors:
 *
 *     2026-01-31T12:00:00.123Z INFO  runner: job job_7 started, attempt 2
 *
 * Log once, where a thing is handled: a function either returns an error or
 * logs it, never both. Control characters in the message are replaced by '?',
 * so a hostile name cannot forge a line.
 */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines below `level` are dropped. The default is LOG_INFO. */
void log_set_level(enum log_level level);

void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
