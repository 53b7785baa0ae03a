#include "search/policy.h"

#include <math.h>
#include "search/shared_index.h"

/* The least of some units, where it lies, and the least of the others. */
struct pick {
    double score, second;
    int position;
};

/* What a type offers: its best group, what it would offer without that, and the layer
 * that the group lives in (-1: all). */
struct offer {
    double score, second;
    int layer;
};

struct chooser {
    const struct search *search;
    const struct scores *scores;
    bool stopped;
};

static double least(double a, double b) { return a < b ? a : b; }

/* ---- inside a layer ---------------------------------------------------------------------- */

/* The least of sums[from .. from + n - 1]; equal sums go by the lower source index. */
static struct pick pick_least(const double *sums, const int *map, int from, int n)
{
    struct pick pick = { INFINITY, INFINITY, from };
    for (int j = from; j < from + n; j++) {
        double sum = isnan(sums[j]) ? INFINITY : sums[j];
        bool wins = sum < pick.score || (sum == pick.score && map[j] < map[pick.position]);
        if (j == from || wins) {
            pick = (struct pick){ sum, j == from ? INFINITY : pick.score, j };
        } else {
            pick.second = least(pick.second, sum);
        }
    }
    return pick;
}

static struct pick scaled(struct pick pick, struct scale by)
{
    return (struct pick){ (pick.score - by.offset) / by.divisor,
                          (pick.second - by.offset) / by.divisor, pick.position };
}

/* One query head of each KV group; the score of such a unit is the mean over the groups. */
static struct pick pick_queries(const struct chooser *c, int l, int *position)
{
    const struct scores *s = c->scores;
    int kv = c->search->shape.layer[l].kv_heads, r = s->queries_per_kv[l];
    struct pick unit = { 0 };
    for (int g = 0; g < kv; g++) {
        struct pick one = pick_least(s->heads[l], c->search->map.query[l], g * r, r);
        unit.score += one.score / kv;
        unit.second += one.second / kv;
        position[g] = one.position;
    }
    return unit;
}

/* The best unit of a type in layer l; writes its positions, as many as it has entries. */
static struct pick pick_unit(const struct chooser *c, enum group_type type, int l, int *position)
{
    const struct scores *s = c->scores;
    const struct search *search = c->search;
    const int *map = index_map_of(&search->map, type, s->unit, l);
    struct pick pick;
    if (type == GROUP_STEM)
        pick = pick_least(s->stem, map, 0, s->n_stem);
    else if (type == GROUP_FFN)
        pick = pick_least(s->ffn[l], map, 0, s->n_ffn[l]);
    else if (s->unit == HEAD_UNIT_KV_GROUP)
        pick = pick_least(s->heads[l], map, 0, s->n_heads[l]);
    else
        pick = pick_queries(c, l, position);
    if (type != GROUP_HEADS || s->unit == HEAD_UNIT_KV_GROUP) *position = pick.position;
    return scaled(pick, scoring_scale(&search->options.scoring, search, s, type, l));
}

/* ---- across layers ------------------------------------------------------------------------- */

/* Is the width off the multiple asked for, and the multiple below within the floor? */
static bool rounds(const struct search *s, enum group_type type, int l)
{
    int m = s->options.stop.round_to;
    if (!m || type == GROUP_HEADS) return false;
    int n = group_count(&s->shape, type, s->options.space.head_unit, l);
    return n % m && n - n % m >= space_floor(&s->options.space, &s->source, type, l);
}

static int first_free_layer(const struct search *s)
{
    int l = 0;
    while (l < s->shape.n_layers - 1 && s->options.space.frozen[l]) l++;
    return l;
}

bool policy_allows(const struct search *s, bool stopped, enum group_type type, int l)
{
    if (!space_allows(&s->options.space, &s->source, &s->shape, type, l < 0 ? 0 : l)) return false;
    return !stopped || rounds(s, type, l < 0 ? first_free_layer(s) : l);
}

/* Every layer gives its own least; the score is the mean over the layers. */
static struct offer offer_uniform(const struct chooser *c, enum group_type type)
{
    struct offer offer = { .layer = -1 };
    int n = 0, position[SHAPE_MAX_HEADS];
    for (int l = 0; l < c->search->shape.n_layers; l++) {
        if (c->search->options.space.frozen[l]) continue;
        struct pick pick = pick_unit(c, type, l, position);
        offer.score += pick.score;
        offer.second += pick.second;
        n++;
    }
    offer.score /= n;
    offer.second /= n;
    return offer;
}

/* One index for all layers. */
static struct offer offer_shared(const struct chooser *c, enum group_type type)
{
    struct shared_pick pick = shared_index_pick(c->search, c->scores, type);
    return (struct offer){ pick.score, pick.second, -1 };
}

/* The least of any layer. */
static struct offer offer_per_layer(const struct chooser *c, enum group_type type)
{
    struct offer offer = { INFINITY, INFINITY, -1 };
    int position[SHAPE_MAX_HEADS];
    for (int l = 0; l < c->search->shape.n_layers; l++) {
        if (!policy_allows(c->search, c->stopped, type, l)) continue;
        struct pick pick = pick_unit(c, type, l, position);
        if (offer.layer < 0 || pick.score < offer.score)
            offer = (struct offer){ pick.score, least(offer.score, pick.second), l };
        else
            offer.second = least(offer.second, pick.score);
    }
    return offer;
}

static bool offers(const struct search *s, bool stopped, enum group_type type)
{
    if (type == GROUP_STEM || s->options.space.scope == SCOPE_UNIFORM)
        return policy_allows(s, stopped, type, -1);
    for (int l = 0; l < s->shape.n_layers; l++)
        if (policy_allows(s, stopped, type, l)) return true;
    return false;
}

static struct offer offer_of(const struct chooser *c, enum group_type type)
{
    if (type == GROUP_STEM) {
        int position;
        struct pick pick = pick_unit(c, type, 0, &position);
        return (struct offer){ pick.score, pick.second, -1 };
    }
    if (c->search->options.space.index == INDEX_SHARED) return offer_shared(c, type);
    if (c->search->options.space.scope == SCOPE_UNIFORM) return offer_uniform(c, type);
    return offer_per_layer(c, type);
}

/* ---- the removal --------------------------------------------------------------------------- */

static void positions(const struct chooser *c, enum group_type type, int l, int *position)
{
    if (type != GROUP_STEM && c->search->options.space.index == INDEX_SHARED) {
        struct shared_pick pick = shared_index_pick(c->search, c->scores, type);
        shared_index_positions(c->search, type, l, pick.index, position);
    } else {
        pick_unit(c, type, l, position);
    }
}

/* Appends the entries of layer l. */
static void list_layer(const struct chooser *c, struct removal *out, int l)
{
    bool frozen = out->type != GROUP_STEM && c->search->options.space.frozen[l];
    bool query = out->type == GROUP_HEADS && out->unit == HEAD_UNIT_QUERY;
    int n = query ? c->search->shape.layer[l].kv_heads : 1;
    int *position = out->position + out->n;
    if (!frozen) positions(c, out->type, l, position);
    for (int i = 0; i < n; i++) {
        if (frozen) position[i] = -1;
        out->source_index[out->n + i] =
            frozen ? -1 : index_map_of(&c->search->map, out->type, out->unit, l)[position[i]];
    }
    out->n += n;
}

static void list_entries(const struct chooser *c, struct removal *out)
{
    out->n = 0;
    if (out->type == GROUP_STEM)
        list_layer(c, out, 0);
    else if (out->layer >= 0)
        list_layer(c, out, out->layer);
    else
        for (int l = 0; l < c->search->shape.n_layers; l++) list_layer(c, out, l);
}

bool policy_choose(const struct search *search, const struct scores *scores, bool stopped,
                   struct removal *out)
{
    struct chooser c = { search, scores, stopped };
    struct offer best = { INFINITY, INFINITY, -1 };
    int winner = -1;
    for (int t = 0; t < GROUP_TYPES; t++) {
        out->min_score[t] = NAN;
        if (!offers(search, stopped, t)) continue;
        struct offer offer = offer_of(&c, t);
        out->min_score[t] = offer.score;
        if (winner < 0 || offer.score < best.score) {
            offer.second = least(offer.second, best.score);
            best = offer;
            winner = t;
        } else {
            best.second = least(best.second, offer.score);
        }
    }
    if (winner < 0) return false;
    out->type = (enum group_type)winner;
    out->unit = search->options.space.head_unit;
    out->layer = best.layer;
    out->runner_up = isinf(best.second) ? NAN : best.second;
    list_entries(&c, out);
    return true;
}

bool policy_can_choose(const struct search *search, bool stopped)
{
    for (int t = 0; t < GROUP_TYPES; t++)
        if (offers(search, stopped, t)) return true;
    return false;
}
