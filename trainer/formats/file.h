#ifndef TRAINER_FORMATS_FILE_H
#define TRAINER_FORMATS_FILE_H

#include <stddef.h>
#include <stdint.h>
#include "search/base/error.h"
#include "search/base/hash.h"

/*
 * Files and folders as the trainer uses them: read whole or mapped, written so
 * that a crash leaves the old or the new and nothing between.
 *
 * The rule for anything that must survive (checkpoints, snapshots, results): make
 * a temporary folder beside the final name, write and fsync every file in it,
 * fsync the folder, rename it, fsync the parent. dir_commit does the last three.
 *
 * Every failure names the path and what the system said. A missing file is
 * E_MISSING, a full disk E_BUSY (nothing is wrong with the job: try again), what is
 * wrong with the file or its name (links in a circle) E_INPUT, the rest E_IO.
 */

/* A file mapped for reading. Empty files have len 0 and bytes that may not be read. */
struct file_map {
    const unsigned char *bytes;
    size_t len;
};

enum status file_map_open(struct file_map *map, const char *path, struct error *err);
void file_map_close(struct file_map *map); /* a zeroed one is fine */

/* The whole file with a NUL behind it; the caller frees. E_LIMIT above `max` bytes. */
enum status file_read(char **out, size_t *len, const char *path, size_t max, struct error *err);

/* Creates or replaces the file and fsyncs it. */
enum status file_write(const char *path, const void *bytes, size_t len, struct error *err);

/* Size and SHA-256 of a file. */
enum status file_digest(const char *path, uint64_t *size, char sha256[HASH_HEX], struct error *err);

/* A file being written: buffered, hashed as it goes, fsynced at the end. The first failure is
 * kept and every later put does nothing; file_close reports it. */
struct file_out;
enum status file_create(struct file_out **out, const char *path, struct error *err);
void file_put(struct file_out *out, const void *bytes, size_t len);
/* Writes over what is there already; the hash is then no longer the file's. */
void file_patch(struct file_out *out, uint64_t at, const void *bytes, size_t len);
uint64_t file_offset(const struct file_out *out);
/* fsyncs, closes and frees in every case; `sha256` may be NULL. */
enum status file_close(struct file_out *out, char sha256[HASH_HEX], struct error *err);

/* "a/b" into a buffer of PATH_ROOM bytes; E_LIMIT when it does not fit. */
enum { PATH_ROOM = 4096 };
enum status path_join(char out[PATH_ROOM], const char *dir, const char *name, struct error *err);

/* Makes the folder and its missing parents; an existing one is fine. */
enum status dir_make(const char *path, struct error *err);

/* Removes a file or a folder with all it holds; a missing one is fine. Follows no links. */
enum status dir_remove(const char *path, struct error *err);

/* fsyncs `tmp`, renames it to `path` (removing what was there), fsyncs the parent. */
enum status dir_commit(const char *tmp, const char *path, struct error *err);

/* Records what the system said about a path, with the status above. */
enum status fail_path(struct error *err, const char *what, const char *path);

#endif
