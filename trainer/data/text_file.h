#ifndef TRAINER_DATA_TEXT_FILE_H
#define TRAINER_DATA_TEXT_FILE_H

#include <stddef.h>
#include "search/base/error.h"

/* Where the text of a file begins: behind a byte order mark, if there is one. E_INPUT, with what to
 * do about it, for a packed file and for one in UTF-16 (or any with NUL in its first KiB). */
enum status text_file_start(size_t *start, const void *bytes, size_t len, const char *path,
                            struct error *err);

#endif
