#ifndef CLIENTS_CLI_FETCH_H
#define CLIENTS_CLI_FETCH_H

#include "clients/cli/command.h"

/*
 * Files of a resource, [{"artifact", "name", "bytes", "sha256"}, ...], into a folder that is made
 * when missing: a bar on a terminal while they come, then a line each. What an earlier call left
 * unfinished is gone on with, what is there already stays (download.h). Names that would lead
 * out of the folder are refused.
 */
struct fetched {
    int files, kept, unchecked; /* kept: were there; unchecked: no checksum is known */
    int64_t bytes;              /* that came */
};

enum status fetch_files(struct context *ctx, json_t *files, const char *folder,
                        struct fetched *fetched);

/* "7 files, 95 KiB, in exp_1; 3 were there"; nothing with --quiet. */
void fetch_report(const struct context *ctx, const struct fetched *fetched, const char *folder);

#endif
