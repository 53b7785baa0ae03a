#ifndef TRAINER_DATA_DOCUMENTS_H
#define TRAINER_DATA_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include "trainer/data/shard.h"
#include "trainer/formats/file.h"

/*
 * The documents of one file, one after the other.
 *
 *     text      plain text has no documents of its own, so it is cut: at the first
 *               empty line after 4 KiB, or the first line end after 64 KiB, or at 1 MiB
 *     jsonl     one object a line, read as in loose_json.h; the document is its string
 *               member "text", the other members are not looked at; empty lines are
 *               passed over
 *     llmc, nanogpt, megatron   token shards: a document ends with the id `eod`, and
 *               where Megatron's index says so
 *
 * Text and jsonl are UTF-8: text_file.h says what is refused.
 *
 * The file is mapped; memory is one document. What cannot be read is E_INPUT with
 * the file and the line.
 */
enum document_format {
    DOCUMENT_TEXT,
    DOCUMENT_JSONL,
    DOCUMENT_LLMC,
    DOCUMENT_NANOGPT,
    DOCUMENT_MEGATRON
};

/* "text", "jsonl", "llmc", "nanogpt", "megatron", NULL: for field_choice. */
extern const char *const document_formats[];

enum { DOCUMENT_MAX_BYTES = 64 << 20 };

/* A document is text, or ids when it comes from a shard. */
struct document {
    const char *text;
    size_t len;
    const int32_t *ids;
    size_t n_ids;
};

struct documents; /* owns the document last given out */

/* vocab_size and eod matter to token shards only. */
enum status documents_open(struct documents **out, const char *path, enum document_format format,
                           int vocab_size, int32_t eod, struct error *err);
void documents_close(struct documents *docs); /* NULL is fine */

/* False at the end and on failure, which `err` tells apart. Documents without text are passed
 * over. */
bool documents_next(struct documents *docs, struct document *out, struct error *err);

size_t documents_done(const struct documents *docs); /* bytes of the file read so far */
size_t documents_size(const struct documents *docs);

#endif
