#include "clients/cli/shapes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "clients/cli/look.h"
#include "clients/cli/table.h"
#include "clients/cli/text.h"

static json_t *layer_of(json_t *item, const char *shape, size_t l)
{
    return json_array_get(json_object_get(look_at(item, shape), "layers"), l);
}

/* "6/2 344", or "-" beyond the last layer. */
static const char *layer_text(char *out, json_t *layer)
{
    if (!layer) return strcpy(out, "-");
    snprintf(out, TEXT_MAX, "%lld/%lld %lld", (long long)look_int(layer, "q_heads", 0),
             (long long)look_int(layer, "kv_heads", 0), (long long)look_int(layer, "ffn", 0));
    return out;
}

static void row(struct table *table, const char *label, json_t *items, const char *path,
                char *(*text)(char *out, double value))
{
    char t[TEXT_MAX];
    json_t *item;
    size_t i;
    table_cell(table, "%s", label);
    json_array_foreach(items, i, item) table_cell(table, "%s", text(t, look_number(item, path)));
}

static char *whole(char *out, double value) { return text_number(out, value, 0); }

static bool same_layer(json_t *items, const char *shape, size_t a, size_t b)
{
    json_t *item;
    size_t i;
    json_array_foreach(items, i, item) if (!json_equal(layer_of(item, shape, a),
                                                       layer_of(item, shape, b))) return false;
    return true;
}

static size_t layers_of(json_t *items, const char *shape)
{
    json_t *item;
    size_t i, most = 0;
    json_array_foreach(items, i, item)
    {
        size_t n = json_array_size(json_object_get(look_at(item, shape), "layers"));
        if (n > most) most = n;
    }
    return most;
}

static void layer_rows(struct table *table, json_t *items, const char *shape)
{
    json_t *item;
    size_t i, n = layers_of(items, shape);
    for (size_t first = 0, last; first < n; first = last + 1) {
        char t[TEXT_MAX];
        for (last = first; last + 1 < n && same_layer(items, shape, first, last + 1);) last++;
        if (first == last)
            table_cell(table, "  layer %zu", first);
        else
            table_cell(table, "  layers %zu-%zu", first, last);
        json_array_foreach(items, i, item)
            table_cell(table, "%s", layer_text(t, layer_of(item, shape, first)));
    }
}

static void blank_row(struct table *table, const char *label, size_t n)
{
    table_cell(table, "%s", label);
    while (n--) table_cell(table, "%s", "");
}

static void id_row(struct table *table, json_t *items)
{
    json_t *item;
    size_t i;
    table_cell(table, "architecture");
    json_array_foreach(items, i, item)
        table_cell(table, "%s", look_string(item, "architecture", look_string(item, "id", "-")));
}

static void headings(struct table *table, json_t *items)
{
    char t[TEXT_MAX];
    json_t *item;
    size_t i;
    table_column(table, "removed", TABLE_LEFT);
    json_array_foreach(items, i, item) if (table->n_columns < TABLE_MAX_COLUMNS)
        table_column(table, text_percent(t, look_number(item, "ratio")), TABLE_RIGHT);
}

void shapes_print(json_t *items, FILE *out)
{
    struct table table;
    size_t n = json_array_size(items);
    table_init(&table);
    headings(&table, items);
    id_row(&table, items);
    row(&table, "step", items, "step", whole);
    row(&table, "tokens", items, "tokens", text_count);
    row(&table, "params", items, "totals.params", whole);
    row(&table, "  without embeddings", items, "totals.params_non_embedding", whole);
    row(&table, "FLOPs/token", items, "totals.flops_per_token", text_count);
    row(&table, "KV bytes/token", items, "totals.kv_bytes_per_token", whole);
    row(&table, "hidden size", items, "shape.hidden_size", whole);
    blank_row(&table, "heads q/kv, FFN width", n);
    layer_rows(&table, items, "shape");
    if (layers_of(items, "human_shape")) {
        blank_row(&table, "drawn by hand, same params", n);
        row(&table, "  hidden size", items, "human_shape.hidden_size", whole);
        layer_rows(&table, items, "human_shape");
    }
    table_print(&table, out);
    table_release(&table);
}

void shapes_print_layers(json_t *shape, FILE *out)
{
    struct table table;
    json_t *layer;
    size_t l;
    table_init(&table);
    table_column(&table, "layer", TABLE_RIGHT);
    table_column(&table, "query heads", TABLE_RIGHT);
    table_column(&table, "KV heads", TABLE_RIGHT);
    table_column(&table, "FFN width", TABLE_RIGHT);
    json_array_foreach(look_at(shape, "layers"), l, layer)
    {
        table_cell(&table, "%zu", l);
        table_cell(&table, "%lld", (long long)look_int(layer, "q_heads", 0));
        table_cell(&table, "%lld", (long long)look_int(layer, "kv_heads", 0));
        table_cell(&table, "%lld", (long long)look_int(layer, "ffn", 0));
    }
    table_print(&table, out);
    table_release(&table);
}

static const char *const types[] = { "heads", "ffn", "stem" };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Removals first..last-1 in one row: how many of each type, and each type's median score. */
static void order_row(struct table *table, json_t *removals, size_t first, size_t last)
{
    double *scores = calloc(last - first + 1, sizeof *scores);
    char t[TEXT_MAX];
    if (!scores) abort();
    for (int type = 0; type < 3; type++) {
        int n = 0;
        for (size_t i = first; i < last; i++)
            n += !strcmp(look_string(json_array_get(removals, i), "type", ""), types[type]);
        table_cell(table, "%d", n);
    }
    for (int type = 0; type < 3; type++) {
        size_t n = 0;
        for (size_t i = first; i < last; i++) {
            json_t *min_score = look_at(json_array_get(removals, i), "min_score");
            double value = look_number(min_score, types[type]);
            if (!isnan(value)) scores[n++] = value;
        }
        qsort(scores, n, sizeof *scores, by_value);
        if (n) snprintf(t, sizeof t, "%.2e", scores[n / 2]);
        table_cell(table, "%s", n ? t : "-");
    }
    free(scores);
}

static void order_headings(struct table *table)
{
    static const char *const names[] = { "removed", "last step",   "heads",     "ffn",
                                         "stem",    "score heads", "score ffn", "score stem" };
    for (int i = 0; i < 8; i++) table_column(table, names[i], TABLE_RIGHT);
}

void shapes_print_order(json_t *removals, double source_params, int n_rows, FILE *out)
{
    struct table table;
    size_t n = json_array_size(removals), first = 0;
    double last_params = look_number(json_array_get(removals, n ? n - 1 : 0), "params");
    double stretch = (source_params - last_params) / n_rows;
    table_init(&table);
    order_headings(&table);
    for (int r = 1; r <= n_rows && n && stretch > 0; r++) {
        size_t end = first;
        double down_to = source_params - stretch * r;
        while (end < n && (r == n_rows ||
                           look_number(json_array_get(removals, end), "params") > down_to - 0.5))
            end++;
        if (end == first) continue;
        table_cell(&table, "%.1f%%", 100 * stretch * r / source_params);
        table_cell(&table, "%lld",
                   (long long)look_int(json_array_get(removals, end - 1), "step", 0));
        order_row(&table, removals, first, end);
        first = end;
    }
    table_print(&table, out);
    table_release(&table);
}
