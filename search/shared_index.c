#include "search/shared_index.h"

#include <math.h>
#include <stdlib.h>

/* What a layer has of a type, in the order of memory. */
struct row {
    const double *sums;
    const int *map;
    int n, period; /* indices are counted modulo period */
};

static enum head_unit unit_of(const struct search *s) { return s->options.space.head_unit; }

static int queries_per_kv(const struct shape *shape, int l)
{
    return shape->layer[l].q_heads / shape->layer[l].kv_heads;
}

static int period(const struct search *s, enum group_type type, int l)
{
    bool query = type == GROUP_HEADS && unit_of(s) == HEAD_UNIT_QUERY;
    return query ? queries_per_kv(&s->source, l) : SHAPE_MAX_FFN;
}

static struct row row_of(const struct search *s, const struct scores *scores, enum group_type type,
                         int l)
{
    const int *map = index_map_of(&s->map, type, unit_of(s), l);
    if (type == GROUP_FFN)
        return (struct row){ scores->ffn[l], map, scores->n_ffn[l], period(s, type, l) };
    return (struct row){ scores->heads[l], map, scores->n_heads[l], period(s, type, l) };
}

static void add_row(double *sum, int *seen, const struct row *row, struct scale by)
{
    for (int j = 0; j < row->n; j++) {
        double score = (row->sums[j] - by.offset) / by.divisor;
        sum[row->map[j] % row->period] += isnan(score) ? INFINITY : score;
        seen[row->map[j] % row->period]++;
    }
}

static struct shared_pick least_of(const double *sum, const int *seen, int n)
{
    struct shared_pick pick = { INFINITY, INFINITY, -1 };
    for (int i = 0; i < n; i++) {
        if (!seen[i]) continue;
        double score = sum[i] / seen[i];
        if (pick.index < 0 || score < pick.score)
            pick = (struct shared_pick){ score, pick.index < 0 ? INFINITY : pick.score, i };
        else if (score < pick.second)
            pick.second = score;
    }
    return pick;
}

struct shared_pick shared_index_pick(const struct search *s, const struct scores *scores,
                                     enum group_type type)
{
    int most = 0;
    for (int l = 0; l < s->source.n_layers; l++) {
        int n = group_count(&s->source, type, unit_of(s), l);
        most = n > most ? n : most;
    }
    double *sum = calloc((size_t)most, sizeof *sum);
    int *seen = calloc((size_t)most, sizeof *seen);
    if (!sum || !seen) abort();
    for (int l = 0; l < s->shape.n_layers; l++) {
        if (s->options.space.frozen[l]) continue;
        struct row row = row_of(s, scores, type, l);
        add_row(sum, seen, &row, scoring_scale(&s->options.scoring, s, scores, type, l));
    }
    struct shared_pick pick = least_of(sum, seen, most);
    free(sum);
    free(seen);
    return pick;
}

void shared_index_positions(const struct search *s, enum group_type type, int l, int index,
                            int *position)
{
    const int *map = index_map_of(&s->map, type, unit_of(s), l);
    bool query = type == GROUP_HEADS && unit_of(s) == HEAD_UNIT_QUERY;
    int n = query ? s->shape.layer[l].q_heads : group_count(&s->shape, type, unit_of(s), l);
    for (int j = 0, k = 0; j < n; j++)
        if (map[j] % period(s, type, l) == index) position[k++] = j;
}
