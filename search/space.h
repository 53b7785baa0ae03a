#ifndef SEARCH_SPACE_H
#define SEARCH_SPACE_H

#include <stdbool.h>
#include "search/group.h"
#include "search/trajectory.h"

/*
 * Which groups a search may remove.
 *
 *   types   any subset of heads, ffn, stem; all by default.
 *   scope   uniform (default): one unit spans all layers that are not frozen, every
 *           layer giving up its own least salient one; these layers must be alike in
 *           the source and stay alike. per_layer: a unit lives in one layer. The stem
 *           spans the model in both.
 *   index  own (default): every layer chooses its own unit; shared: the same source index
 *           goes in all layers, the one with the least mean score. For scope uniform only. An
 *           ablation: order inside a layer means nothing (group.h), so what lies at one index
 *           in two layers has nothing in common. By query: one index of the query heads of
 *           every KV group in all layers.
 *   head_unit  kv_group (default) or query; see group.h.
 *   floors  the fewest units that may remain, in every layer: KV groups (or query heads
 *           per KV group), FFN channels, stem channels. 0, the default: 1 head unit, an
 *           eighth of the source's channels, rounded up.
 *   layer_floors  the same for single layers, heads and ffn only; wins over floors.
 *   frozen_layers  layers that keep their heads and FFN channels. The stem passes
 *           through them nevertheless.
 *   layers  {"from", "to"}: the layers outside this range, ends included, are frozen too, as
 *           LLM-Pruner protects the first and the last.
 *
 * JSON: {"types": ["heads","ffn","stem"], "scope": "uniform", "index": "own",
 *        "head_unit": "kv_group", "floors": {"heads": 1, "ffn": 192, "stem": 72},
 *        "layer_floors": [{"layer": 3, "heads": 2, "ffn": 512}], "frozen_layers": [0, 29],
 *        "layers": {"from": 2, "to": 27}},
 * every member optional.
 */
enum scope { SCOPE_UNIFORM, SCOPE_PER_LAYER };

extern const char *const scope_names[]; /* "uniform", "per_layer", NULL */

enum layer_index { INDEX_OWN, INDEX_SHARED };

struct space {
    bool types[GROUP_TYPES];
    enum scope scope;
    enum layer_index index;
    enum head_unit head_unit;
    int floors[GROUP_TYPES];               /* 0: by the rule above */
    int layer_floors[2][SHAPE_MAX_LAYERS]; /* of heads and of ffn; 0: as floors */
    bool frozen[SHAPE_MAX_LAYERS];
    int first_layer, last_layer; /* of the range; 0, -1: all. space_resolve turns it into frozen */
};

/* The defaults. */
void space_init(struct space *space);

/* Reads an object that the caller opened, and ends it. */
enum status space_read(struct space *space, struct field *f);
void space_emit(const struct space *space, struct emit *e);

/* Freezes what lies outside the range of layers. */
void space_resolve(struct space *space, const struct shape *source);

/* Does it make sense for this source? E_INPUT says why not. */
enum status space_check(const struct space *space, const struct shape *source, struct error *err);

/* The fewest units of a type that may remain in layer l of a search from this source; all
 * of them when the type is not in the space or the layer is frozen. */
int space_floor(const struct space *space, const struct shape *source, enum group_type type, int l);

/* May the stem, or a unit of layer l (per_layer), or a unit of every layer that is not
 * frozen (uniform; l does not matter), be taken from `shape`? */
bool space_allows(const struct space *space, const struct shape *source, const struct shape *shape,
                  enum group_type type, int l);

/* The smallest shape of the space: every count at its floor. */
struct shape space_smallest(const struct space *space, const struct shape *source);

#endif
