#include "trainer/data/tokenizer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "trainer/formats/file.h"

int32_t *ids_reserve(struct ids *ids, size_t n)
{
    if (n > ids->capacity - ids->n) {
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

enum status tokenizer_open(struct tokenizer **out, const char *path, struct error *err)
{
    char file[PATH_ROOM], *text;
    size_t len;
    struct stat st;
    *out = NULL;
    bool folder = !stat(path, &st) && S_ISDIR(st.st_mode);
    TRY(path_join(file, path, folder ? "tokenizer.json" : "", err));
    if (!folder) file[strlen(file) - 1] = '\0';
    TRY(file_read(&text, &len, file, TOKENIZER_MAX_FILE, err));
    if (from_text(out, text, len, err)) fail_in(err, "%.160s", file);
    free(text);
    return err->status;
}

void tokenizer_close(struct tokenizer *t)
{
    if (t) t->close(t);
}
