#ifndef SERVER_HTTP_BENEATH_H
#define SERVER_HTTP_BENEATH_H

#include "search/base/error.h"

/*
 * Opens a regular file for reading below one directory, by a relative path of ours (from
 * the database, never from a client). The kernel keeps the walk beneath `dir` and follows no
 * symbolic link (openat2); where it cannot, every part is opened by itself with O_NOFOLLOW.
 *
 * Refused with E_INPUT before anything is opened: an absolute or empty path, an empty, "."
 * or ".." part. E_MISSING: not there, or something other than a regular file. Returns the
 * descriptor, or -1.
 */
int open_beneath(const char *dir, const char *path, struct error *err);

#endif
