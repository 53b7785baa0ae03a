#include "server/api/replay.h"

#include <string.h>

enum status replay_open(struct replay *replay, const char *source, const char *options,
                        struct error *err)
{
    struct field f;
    TRY(shape_parse(&replay->source, source, strlen(source), err));
    replay->shape = replay->source;
    json_t *json = field_parse(options, strlen(options), err);
    if (!json) return err->status;
    field_root(&f, json, err);
    search_options_init(&replay->options);
    search_options_read(&replay->options, &f);
    space_resolve(&replay->options.space, &replay->source);
    json_decref(json);
    return err->status;
}

static void narrow_heads(struct layer_shape *layer, bool by_query, int n)
{
    if (by_query) {
        layer->q_heads -= n * layer->kv_heads;
    } else {
        int queries = layer->q_heads / layer->kv_heads;
        layer->kv_heads -= n;
        layer->q_heads -= n * queries;
    }
}

void replay_narrow(struct replay *replay, int type, bool by_query, int only_layer, int n)
{
    struct shape *shape = &replay->shape;
    if (type == GROUP_STEM) {
        shape->hidden_size -= n;
        return;
    }
    int first = only_layer < 0 ? 0 : only_layer;
    int end = only_layer >= 0 && only_layer < shape->n_layers ? only_layer + 1 : shape->n_layers;
    for (int l = first; l < end; l++) {
        if (only_layer < 0 && replay->options.space.frozen[l]) continue;
        if (type == GROUP_FFN)
            shape->layer[l].ffn -= n;
        else
            narrow_heads(&shape->layer[l], by_query, n);
    }
}

static void apply_count(struct replay *replay, struct field *f)
{
    int type = field_choice(f, "type", group_names);
    int layer = (int)field_int(f, "layer", -1, SHAPE_MAX_LAYERS - 1);
    const char *unit = field_string_or(f, "unit", 16, "kv_group");
    int n = (int)field_int(f, "n", 1, SHAPE_MAX_FFN);
    if (!field_end(f)) replay_narrow(replay, type, !strcmp(unit, "query"), layer, n);
}

enum status replay_check(const struct replay *replay, const char *hash, struct error *err)
{
    char got[HASH_HEX];
    struct error why = { 0 };
    if (shape_check(&replay->shape, &why)) return fail(err, E_DB, "replay: %s", why.text);
    shape_hash(&replay->shape, got);
    if (!strcmp(got, hash)) return OK;
    return fail(err, E_DB, "replay gives shape %.12s, stored is %.12s", got, hash);
}

enum status replay_apply(struct replay *replay, const char *counts, const char *hash,
                         struct error *err)
{
    json_t *json = field_parse(counts, strlen(counts), err), *item;
    size_t i;
    if (!json) return err->status;
    json_array_foreach(json, i, item)
    {
        struct field f;
        field_root(&f, item, err);
        apply_count(replay, &f);
    }
    json_decref(json);
    return err->status ? err->status : replay_check(replay, hash, err);
}
