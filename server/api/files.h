#ifndef SERVER_API_FILES_H
#define SERVER_API_FILES_H

#include "search/base/emit.h"
#include "server/api/create.h"

/*
 * Uploads that a body names, looked up. Data sets, models and evaluations are made of them.
 *
 *     files_find(req, ids, n, found, data);
 *
 * `found` gets one checksum for each id, in their order: where its bytes lie below the
 * uploads folder. An id that does not exist is answered with 422, pointing at it: at
 * /files/<i>/upload, or where `pointers` says (files_find_at).
 */
enum { FILES_MAX = 256 };

/* The reply to a dry run: {"dry_run": true, "files": how many, "bytes": in all}. */
void files_dry_run(struct request *req, const char *const *sha256, int n);

void files_find(struct request *req, const char *const *numbers, int n,
                void (*found)(struct request *req, const char *const *sha256, void *data),
                void *data);
void files_find_at(struct request *req, const char *const *numbers, const char *const *pointers,
                   int n, void (*found)(struct request *req, const char *const *sha256, void *data),
                   void *data);

#endif
