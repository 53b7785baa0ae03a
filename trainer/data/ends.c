#include "trainer/data/ends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "search/base/emit.h"
#include "search/base/log.h"
#include "trainer/data/bpe.h"
#include "trainer/data/loose_json.h"
#include "trainer/formats/file.h"
#include "trainer/formats/gguf.h"

enum { MAX_CONFIG = 16 << 20 };

/* ---- reading ------------------------------------------------------------------------------- */

/* NULL where there is none. */
static json_t *read_json(const char *dir, const char *name)
{
    char path[PATH_ROOM], *text = NULL;
    size_t len;
    bool mended; /* transformers writes a model_max_length of 10^30 for "any" */
    struct error err = { 0 };
    if (path_join(path, dir, name, &err) || file_read(&text, &len, path, MAX_CONFIG, &err)) {
        if (err.status != E_MISSING) log_warn("%s", err.text);
        return NULL;
    }
    json_t *json = loose_json_parse(text, len, JSON_ALLOW_NUL, &mended, &err);
    if (!json) log_warn("%s: %s", path, err.text);
    free(text);
    return json;
}

static int valid(const struct tokenizer *t, double id)
{
    return id >= 0 && id < t->vocab_size && id == (int)id ? (int)id : -1;
}

/* The id of a special token's text; -1 when that is not one token. */
static int id_of_text(struct tokenizer *t, const json_t *token)
{
    struct ids ids = { 0 };
    struct error ignored = { 0 };
    if (json_is_object(token)) token = json_object_get(token, "content");
    const char *text = json_string_value(token);
    bool one = text && !t->encode(t, text, strlen(text), &ids, &ignored) && ids.n == 1;
    int id = one ? ids.id[0] : -1;
    ids_release(&ids);
    return id;
}

static void add_stop(struct ends *ends, int id)
{
    for (int i = 0; i < ends->n_stops; i++)
        if (ends->stop[i] == id) return;
    if (id >= 0 && ends->n_stops < ENDS_MOST) ends->stop[ends->n_stops++] = id;
}

static void read_stops(struct ends *ends, const struct tokenizer *t, const char *dir,
                       const char *name)
{
    json_t *json = read_json(dir, name);
    const json_t *said = json_object_get(json, "eos_token_id");
    for (size_t i = 0; i < json_array_size(said); i++) {
        const json_t *id = json_array_get(said, i);
        if (json_is_number(id)) add_stop(ends, valid(t, json_number_value(id)));
    }
    if (json_is_number(said)) add_stop(ends, valid(t, json_number_value(said)));
    json_decref(json);
}

static void read_folder(struct ends *ends, struct tokenizer *t, const char *dir)
{
    json_t *json = read_json(dir, "tokenizer_config.json");
    ends->bos = id_of_text(t, json_object_get(json, "bos_token"));
    ends->eos = id_of_text(t, json_object_get(json, "eos_token"));
    json_decref(json);
    read_stops(ends, t, dir, "generation_config.json");
    if (!ends->n_stops) read_stops(ends, t, dir, "config.json");
}

static bool read_gguf(struct ends *ends, const struct tokenizer *t, const char *path)
{
    struct gguf *g;
    struct error no = { 0 };
    if (gguf_open(&g, path, &no)) return false;
    static const char *const keys[] = { "tokenizer.ggml.bos_token_id",
                                        "tokenizer.ggml.eos_token_id" };
    int *out[] = { &ends->bos, &ends->eos };
    for (int i = 0; i < 2; i++)
        *out[i] = valid(t, (double)gguf_int_or(g, keys[i], 0, INT32_MAX, -1, &no));
    gguf_close(g);
    return true;
}

void ends_read(struct ends *ends, struct tokenizer *t, const char *path)
{
    char dir[PATH_ROOM];
    struct stat st;
    const struct bpe *bpe = tokenizer_bpe_of(t);
    *ends = (struct ends){ -1, -1, 0, { 0 } };
    snprintf(dir, sizeof dir, "%s", path);
    bool is_file = !stat(path, &st) && S_ISREG(st.st_mode);
    char *slash = is_file ? strrchr(dir, '/') : NULL;
    if (slash) *slash = '\0';
    if (!is_file || !read_gguf(ends, t, path)) read_folder(ends, t, is_file && !slash ? "." : dir);
    if (bpe && bpe->bos >= 0) ends->bos = bpe->bos;
    if (bpe && ends->eos < 0) ends->eos = bpe->eos;
    if (ends->eos < 0) ends->eos = ends->n_stops ? ends->stop[0] : t->eod;
    add_stop(ends, ends->eos);
}

/* ---- writing ------------------------------------------------------------------------------- */

static enum status put_token(struct emit *e, const char *key, struct tokenizer *t, int id,
                             struct error *err)
{
    struct buf text;
    int32_t one = id;
    if (id < 0) return OK;
    buf_init(&text, 1 << 12);
    if (!t->decode(t, &one, 1, &text, err)) {
        emit_key(e, key);
        emit_string_n(e, text.bytes ? text.bytes : "", text.len);
    }
    buf_release(&text);
    return err->status;
}

static enum status put_tokenizer(const struct ends *ends, struct tokenizer *t, int max_position,
                                 struct emit *e, struct error *err)
{
    emit_begin(e, '{');
    emit_kv_string(e, "tokenizer_class", "PreTrainedTokenizerFast");
    TRY(put_token(e, "bos_token", t, ends->bos, err));
    TRY(put_token(e, "eos_token", t, ends->eos, err));
    TRY(put_token(e, "pad_token", t, ends->eos, err));
    emit_kv_int(e, "model_max_length", max_position);
    emit_kv_bool(e, "clean_up_tokenization_spaces", false);
    emit_end(e);
    return OK;
}

static void put_generation(const struct ends *ends, struct emit *e)
{
    emit_begin(e, '{');
    int bos = ends->bos >= 0 ? ends->bos : ends->eos; /* what begins where there is no prompt */
    emit_kv_bool(e, "do_sample", false);
    if (bos >= 0) emit_kv_int(e, "bos_token_id", bos);
    if (ends->n_stops == 1) emit_kv_int(e, "eos_token_id", ends->stop[0]);
    if (ends->n_stops > 1) {
        emit_key(e, "eos_token_id");
        emit_begin(e, '[');
        for (int i = 0; i < ends->n_stops; i++) emit_int(e, ends->stop[i]);
        emit_end(e);
    }
    if (ends->eos >= 0) emit_kv_int(e, "pad_token_id", ends->eos);
    emit_end(e);
}

static enum status write_text(const char *dir, const char *name, const struct buf *text,
                              struct error *err)
{
    char path[PATH_ROOM];
    TRY(path_join(path, dir, name, err));
    return file_write(path, text->bytes, text->len, err);
}

enum status ends_write(const struct ends *ends, struct tokenizer *t, int max_position,
                       const char *dir, struct error *err)
{
    struct buf text;
    struct emit e;
    buf_init(&text, 1 << 16);
    emit_init(&e, &text);
    if (!put_tokenizer(ends, t, max_position, &e, err))
        write_text(dir, "tokenizer_config.json", &text, err);
    buf_clear(&text);
    emit_init(&e, &text);
    put_generation(ends, &e);
    if (!err->status) write_text(dir, "generation_config.json", &text, err);
    buf_release(&text);
    return err->status;
}
