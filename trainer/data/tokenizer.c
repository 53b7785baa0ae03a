#include "trainer/data/tokenizer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "trainer/formats/file.h"

int32_t *ids_reserve(struct ids *ids, size_t n)
{
    if (!ids->id || n > ids->capacity - ids->n) { /* never NULL, also for nothing */
        if (n > SIZE_MAX / 16 - ids->n) abort();
        size_t capacity = ids->capacity ? ids->capacity : 256;
        while (capacity < ids->n + n) capacity *= 2;
        ids->id = realloc(ids->id, capacity * sizeof *ids->id);
        if (!ids->id) abort();
        ids->capacity = capacity;
    }
    return ids->id + ids->n;
}

void ids_put(struct ids *ids, int32_t id)
{
    *ids_reserve(ids, 1) = id;
    ids->n++;
}

void ids_release(struct ids *ids)
{
    free(ids->id);
    *ids = (struct ids){ 0 };
}

static enum status from_text(struct tokenizer **out, const char *text, size_t len,
                             struct error *err)
{
    char hash[HASH_HEX];
    hash_hex(text, len, hash);
    tokenizer_bytes(out);
    if (!strcmp(hash, (*out)->hash)) return OK;
    tokenizer_close(*out);
    *out = NULL;
    return tokenizer_bpe(out, text, len, err);
}

static enum status from_json(struct tokenizer **out, const char *file, struct error *err)
{
    char *text;
    size_t len;
    TRY(file_read(&text, &len, file, TOKENIZER_MAX_FILE, err));
    from_text(out, text, len, err);
    free(text);
    return err->status;
}

/* JSON begins with a brace, GGUF with its name, sentencepiece's protobuf with field 1. */
static enum status from_file(struct tokenizer **out, const char *file, struct error *err)
{
    struct file_map map;
    TRY(file_map_open(&map, file, err));
    bool gguf = map.len >= 4 && !memcmp(map.bytes, "GGUF", 4);
    bool sentencepiece =
        map.len && map.bytes[0] == 0x0a && !memchr(map.bytes, '{', map.len < 3 ? map.len : 3);
    file_map_close(&map);
    if (gguf) return tokenizer_gguf(out, file, err);
    return sentencepiece ? tokenizer_sentencepiece(out, file, err) : from_json(out, file, err);
}

/* The file that a folder holds: tokenizer.json, or else sentencepiece's tokenizer.model. */
static enum status file_in(const char *path, char file[PATH_ROOM], struct error *err)
{
    TRY(path_join(file, path, "tokenizer.json", err));
    if (!access(file, F_OK)) return OK;
    TRY(path_join(file, path, "tokenizer.model", err));
    return access(file, F_OK) ? path_join(file, path, "tokenizer.json", err) : OK;
}

enum status tokenizer_open(struct tokenizer **out, const char *path, struct error *err)
{
    char file[PATH_ROOM];
    struct stat st;
    *out = NULL;
    bool folder = !stat(path, &st) && S_ISDIR(st.st_mode);
    if (folder) TRY(file_in(path, file, err));
    if (from_file(out, folder ? file : path, err)) fail_in(err, "%.160s", folder ? file : path);
    return err->status;
}

void tokenizer_close(struct tokenizer *t)
{
    if (t) t->close(t);
}
