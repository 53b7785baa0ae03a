#ifndef TRAINER_MANIFEST_H
#define TRAINER_MANIFEST_H

#include <stdint.h>
#include "search/base/error.h"
#include "search/base/hash.h"

/*
 * What files a folder should hold: their sizes and SHA-256, written last, so that a
 * folder whose manifest agrees is whole.
 *
 *     {"schema": "lathe.manifest/1", "step": 400,
 *      "files": [{"name": "state.json", "bytes": 812, "sha256": "9f..."}]}
 */
enum { MANIFEST_MAX_FILES = 16, MANIFEST_NAME = 64 };

struct manifest {
    int64_t step;
    int n;
    struct manifest_file {
        char name[MANIFEST_NAME];
        uint64_t bytes;
        char sha256[HASH_HEX];
    } file[MANIFEST_MAX_FILES];
};

/* Hashes the named files of `dir` (NULL-terminated list) and writes dir/manifest.json. */
enum status manifest_write(const char *dir, int64_t step, const char *const *names,
                           struct error *err);

/* Reads dir/manifest.json and compares every file with it. E_INPUT names the first that differs. */
enum status manifest_check(struct manifest *out, const char *dir, struct error *err);

enum status manifest_parse(struct manifest *out, const char *text, size_t len, struct error *err);

#endif
