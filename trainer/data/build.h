#ifndef TRAINER_DATA_BUILD_H
#define TRAINER_DATA_BUILD_H

#include "trainer/data/dataset.h"
#include "trainer/data/documents.h"

/*
 * Makes a dataset folder from files.
 *
 * The split is by document: a document is held out when a number drawn from the
 * seed and the SHA-256 of its contents falls below validation_fraction. So equal
 * documents lie on the same side, and neither the order of the files nor what
 * else is in them matters.
 */
struct build_file {
    char path[PATH_ROOM];
    enum document_format format;
    char domain[DOMAIN_NAME]; /* "" counts as "default" */
};

struct build_spec {
    const char *name;
    const struct build_file *file;
    int n_files;
    double validation_fraction; /* 0..0.5 */
    uint64_t seed;
};

/* Called after every document or so; returning false ends the work with E_CANCELLED. */
struct build_watch {
    void *user;
    bool (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
};

/* Into the existing folder `dir`; *out describes it but has no shards open. E_INPUT when a file
 * cannot be read as what it should be, when there are no documents, or when none was held out
 * although some should have been. On failure the folder holds rubbish. */
enum status dataset_build(struct dataset *out, const char *dir, const struct build_spec *spec,
                          struct tokenizer *tokenizer, const struct build_watch *watch,
                          struct error *err);

/* Which split a document belongs to. */
enum split split_of(const struct document *doc, uint64_t seed, double validation_fraction);

#endif
