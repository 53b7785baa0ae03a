#ifndef CLIENTS_CLI_DOWNLOAD_H
#define CLIENTS_CLI_DOWNLOAD_H

#include "clients/cli/http.h"

/*
 * A file from the service, whole or not there. Bytes gather in PLACE.part; one that was left by an
 * earlier try is gone on with. When size and SHA-256 are what was promised it gets its name.
 * A file that has the name and the checksum already is left alone.
 */
struct download {
    const char *path;   /* of the request, "/v1/artifacts/art_9/content" */
    const char *place;  /* of the file; its folder exists */
    const char *sha256; /* NULL: not known, then nothing is checked and nothing gone on with */
    int64_t bytes;      /* -1: not known */

    /* May be NULL; told how far it is. */
    void (*got)(void *context, int64_t done, int64_t total);
    void *context;
};

/* *fetched: bytes that came over the network. E_IO when what came is not what was promised; then
 * nothing is kept. */
enum status download_file(struct http *http, const struct download *d, int64_t *fetched,
                          struct error *err);

/* Makes a folder and those above it. */
enum status download_folder(const char *path, struct error *err);

/* Is this a name of one file or folder: not empty, no '/', no leading '.', no control characters?
 */
bool download_name_is_plain(const char *name);

#endif
