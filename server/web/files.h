#ifndef SERVER_WEB_FILES_H
#define SERVER_WEB_FILES_H

#include <stddef.h>
#include "search/base/error.h"
#include "search/base/hash.h"

/*
 * A folder of small files and its folders, one level deep, read into memory once.
 */
struct web_file {
    char name[128];   /* "main.js", "views/run.js" */
    const char *type; /* for Content-Type */
    char *bytes;
    size_t n_bytes;
    char *packed; /* the same in gzip, or NULL */
    size_t n_packed;
    char etag[17]; /* of the contents */
};

struct web_files {
    struct web_file *file;
    int n;
};

/* Reads what web.h describes. E_MISSING when there is no folder, E_LIMIT beyond the
 * ceilings, E_IO; then `files` is empty. */
enum status web_files_read(struct web_files *files, const char *folder, struct error *err);
void web_files_release(struct web_files *files);

/* NULL when there is none of that name. */
const struct web_file *web_files_find(const struct web_files *files, const char *name);

#endif
