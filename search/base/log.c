#include "search/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level lowest = LOG_INFO;
static const char *const names[] = { "DEBUG", "INFO", "WARN", "ERROR" };

void log_set_level(enum log_level level) { lowest = level; }

void log_line(enum log_level level, const char *fmt, ...)
{
    if (level < lowest) return;
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);

    char line[2048];
    size_t head = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    head += (size_t)snprintf(line + head, sizeof line - head, ".%03ldZ %-5s ",
                             now.tv_nsec / 1000000, names[level]);
    va_list args;
    va_start(args, fmt);
    vsnprintf(line + head, sizeof line - head - 1, fmt, args);
    va_end(args);

    size_t len = strlen(line);
    for (size_t i = head; i < len; i++)
        if ((unsigned char)line[i] < 32 || line[i] == 127) line[i] = '?';
    line[len++] = '\n';
    ssize_t unused = write(STDERR_FILENO, line, len); /* one write: lines do not interleave */
    (void)unused;
}
