#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "search/base/field.h"
#include "trainer/formats/file.h"
#include "search/hf_config.h"
#include "trainer/formats/safetensors.h"
#include "trainer/formats/weights.h"

enum { MAX_SHARDS = 1024, INDEX_MAX_BYTES = 16 << 20, SHARD_NAME = 256 };

struct hf {
    struct safetensors *shard[MAX_SHARDS];
    char *name[MAX_SHARDS]; /* of the shard's file */
    int n_shards;
    int used; /* tensors that the shape needs, while checking */
};

static const struct tensor *find(const struct hf *hf, const char *name)
{
    const struct tensor *t = NULL;
    for (int i = 0; i < hf->n_shards && !t; i++) t = safetensors_find(hf->shard[i], name);
    return t;
}

static enum status read_tensor(struct weights *w, const char *name, int rows, int cols, float *out,
                               struct error *err)
{
    const struct tensor *t = find(w->state, name);
    if (!t) return fail(err, E_MISSING, "tensor %.100s is missing", name);
    TRY(tensor_expect(t, rows, cols, err));
    return tensor_floats(t, out, err);
}

static void close_hf(struct weights *w)
{
    struct hf *hf = w->state;
    for (int i = 0; i < hf->n_shards; i++) {
        safetensors_close(hf->shard[i]);
        free(hf->name[i]);
    }
    free(hf);
    free(w);
}

/* ---- files --------------------------------------------------------------------------- */

static enum status add_shard(struct hf *hf, const char *dir, const char *name, struct error *err)
{
    char path[PATH_ROOM];
    for (int i = 0; i < hf->n_shards; i++)
        if (!strcmp(hf->name[i], name)) return OK;
    if (hf->n_shards == MAX_SHARDS)
        return fail(err, E_LIMIT, "the index names more than %d files", MAX_SHARDS);
    if (strchr(name, '/') || !strcmp(name, "..") || !*name)
        return fail(err, E_INPUT, "the index names \"%.80s\", which is not a file beside it", name);
    TRY(path_join(path, dir, name, err));
    TRY(safetensors_open(&hf->shard[hf->n_shards], path, err));
    hf->name[hf->n_shards] = strdup(name);
    if (!hf->name[hf->n_shards]) abort();
    hf->n_shards++;
    return OK;
}

/* {"metadata": {...}, "weight_map": {tensor: file}} */
static enum status read_index(struct hf *hf, json_t *json, const char *dir, struct error *err)
{
    struct field root, map;
    const char *tensor;
    json_t *value;
    field_root(&root, json, err);
    if (!field_object(&root, "weight_map", &map)) field_fail(&root, "weight_map", "is missing");
    TRY(err->status);
    json_object_foreach(map.json, tensor, value)
    {
        const char *file = field_string(&map, tensor, SHARD_NAME);
        if (!file) return err->status;
        TRY(add_shard(hf, dir, file, err));
    }
    return OK;
}

static enum status open_index(struct hf *hf, const char *dir, const char *path, struct error *err)
{
    char *text;
    size_t len;
    TRY(file_read(&text, &len, path, INDEX_MAX_BYTES, err));
    json_t *json = field_parse(text, len, err);
    if (json) read_index(hf, json, dir, err);
    json_decref(json);
    free(text);
    return err->status ? fail_in(err, "model.safetensors.index.json") : OK;
}

/* With both the single file counts, as in transformers. */
static enum status open_shards(struct hf *hf, const char *dir, struct error *err)
{
    char single[PATH_ROOM], index[PATH_ROOM];
    TRY(path_join(single, dir, "model.safetensors", err));
    TRY(path_join(index, dir, "model.safetensors.index.json", err));
    if (access(single, F_OK) && !access(index, F_OK)) return open_index(hf, dir, index, err);
    return add_shard(hf, dir, "model.safetensors", err);
}

static enum status read_config(struct weights *w, const char *dir, struct error *err)
{
    char path[PATH_ROOM], *text;
    size_t len;
    struct hf_config_extra extra = { 0 };
    TRY(path_join(path, dir, "config.json", err));
    TRY(file_read(&text, &len, path, HF_CONFIG_MAX_BYTES, err));
    if (hf_config_parse(&w->shape, &extra, text, len, err)) fail_in(err, "config.json");
    w->max_position = extra.max_position;
    free(text);
    return err->status;
}

/* ---- checks ---------------------------------------------------------------------------- */

static enum status check_tensor(void *user, const char *name, int rows, int cols, struct error *err)
{
    struct hf *hf = user;
    const struct tensor *t = find(hf, name);
    if (!t) return fail(err, E_INPUT, "tensor %.100s is missing", name);
    TRY(tensor_expect(t, rows, cols, err));
    if (t->type != TENSOR_F32 && t->type != TENSOR_F16 && t->type != TENSOR_BF16)
        return fail(err, E_INPUT, "tensor %.100s has type %s; F32, F16 and BF16 can be read", name,
                    tensor_type_name(t->type));
    hf->used++;
    return OK;
}

/* Tensors that follow from others, in any layer. */
static bool is_derived(const char *name, const struct shape *shape)
{
    return strstr(name, ".rotary_emb.") ||
           (shape->tie_word_embeddings && !strcmp(name, "lm_head.weight"));
}

static enum status note_name(void *user, const char *name, int rows, int cols, struct error *err)
{
    (void)rows, (void)cols;
    const char **wanted = user;
    if (strcmp(*wanted, name)) return OK;
    *wanted = NULL; /* found; the status only ends the walk */
    return fail(err, E_CANCELLED, "found");
}

static bool shape_has(const struct shape *shape, const char *name)
{
    struct error ignored = { 0 };
    const char *wanted = name;
    weights_each(shape, &(struct weights_visit){ &wanted, note_name }, &ignored);
    return !wanted;
}

/* There are more tensors than the shape needs: find one that is not known to be harmless. */
static enum status check_surplus(const struct weights *w, const struct hf *hf, struct error *err)
{
    for (int i = 0; i < hf->n_shards; i++)
        for (int k = 0; k < safetensors_count(hf->shard[i]); k++) {
            const char *name = safetensors_at(hf->shard[i], k)->name;
            if (is_derived(name, &w->shape) || shape_has(&w->shape, name)) continue;
            return fail(err, E_INPUT,
                        "%.60s: tensor %.100s is not part of a %s model of this config",
                        hf->name[i], name, w->shape.family);
        }
    return OK;
}

static enum status check_all(struct weights *w, struct hf *hf, struct error *err)
{
    int n = 0;
    TRY(weights_each(&w->shape, &(struct weights_visit){ hf, check_tensor }, err));
    for (int i = 0; i < hf->n_shards; i++) n += safetensors_count(hf->shard[i]);
    return n > hf->used ? check_surplus(w, hf, err) : OK;
}

enum status weights_open_hf(struct weights **out, const char *dir, struct error *err)
{
    struct weights *w = calloc(1, sizeof *w);
    struct hf *hf = calloc(1, sizeof *hf);
    if (!w || !hf) abort();
    *w = (struct weights){ .format = "hf", .read = read_tensor, .close = close_hf, .state = hf };
    *out = NULL;
    if (read_config(w, dir, err) || open_shards(hf, dir, err) || check_all(w, hf, err)) {
        close_hf(w);
        return fail_in(err, "%.160s", dir);
    }
    *out = w;
    return OK;
}
