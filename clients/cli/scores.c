#include "clients/cli/scores.h"

#include <math.h>
#include <string.h>
#include "clients/cli/look.h"
#include "clients/cli/table.h"
#include "clients/cli/text.h"

static const char *const suffixes[] = { "_stderr", "_stddev", "_min", "_max" };

static double beside(json_t *metrics, const char *name, const char *suffix)
{
    char key[256];
    snprintf(key, sizeof key, "%s%s", name, suffix);
    json_t *value = json_object_get(metrics, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Is it shown in the row of another metric? */
static bool is_beside(json_t *metrics, const char *name)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t n = strlen(name), s = strlen(suffixes[i]);
        char whole[256];
        if (n <= s || n - s >= sizeof whole || strcmp(name + n - s, suffixes[i])) continue;
        snprintf(whole, sizeof whole, "%.*s", (int)(n - s), name);
        if (json_object_get(metrics, whole)) return true;
    }
    return false;
}

/* 0.3120, 12.41, 1234.5: four digits that say something; whole numbers whole. */
static const char *number_text(char *out, double x)
{
    if (isnan(x)) return strcpy(out, "-");
    bool whole = x == floor(x);
    return text_number(out, x, whole ? 0 : fabs(x) < 10 ? 4 : fabs(x) < 1000 ? 2 : 1);
}

static double number_of(json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void put_beside(struct table *t, json_t *metrics, const char *name)
{
    char a[TEXT_MAX], b[TEXT_MAX];
    double error = beside(metrics, name, "_stderr"), low = beside(metrics, name, "_min"),
           high = beside(metrics, name, "_max");
    if (isnan(error)) error = beside(metrics, name, "_stddev");
    if (!isnan(error))
        table_cell(t, "+- %s", number_text(a, error));
    else if (!isnan(low) && !isnan(high))
        table_cell(t, "%s to %s", number_text(a, low), number_text(b, high));
    else
        table_cell(t, "%s", "");
}

struct row {
    struct table *table;
    json_t *result, *metrics;
    bool first;
};

static void put_metric(struct row *row, const char *name)
{
    char text[TEXT_MAX], items[TEXT_MAX];
    json_t *value = json_object_get(row->metrics, name);
    if (!value || is_beside(row->metrics, name)) return;
    text_number(items, look_number(row->result, "items"), 0);
    table_cell(row->table, "%s", row->first ? look_string(row->result, "task", "?") : "");
    table_cell(row->table, "%s", row->first ? look_string(row->result, "form", "?") : "");
    table_cell(row->table, "%s", row->first ? items : "");
    table_cell(row->table, "%s", name);
    table_cell(row->table, "%s", number_text(text, number_of(value)));
    put_beside(row->table, row->metrics, name);
    row->first = false;
}

/* What was asked for comes last, what was found first. */
static bool is_asked(const char *name)
{
    static const char *const asked[] = { "prompt_tokens", "generate_tokens", "repeats", "threads" };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        if (!strcmp(name, asked[i])) return true;
    return false;
}

static void put_result(struct table *t, json_t *result)
{
    struct row row = { t, result, look_at(result, "metrics"), true };
    const char *name;
    json_t *value;
    for (int pass = 0; pass < 2; pass++)
        json_object_foreach(row.metrics, name, value) if (is_asked(name) == (pass == 1))
            put_metric(&row, name);
}

void scores_print(json_t *results, FILE *out)
{
    struct table t;
    json_t *result;
    size_t i;
    table_init(&t);
    table_column(&t, "task", TABLE_LEFT);
    table_column(&t, "form", TABLE_LEFT);
    table_column(&t, "items", TABLE_RIGHT);
    table_column(&t, "metric", TABLE_LEFT);
    table_column(&t, "value", TABLE_RIGHT);
    table_column(&t, "", TABLE_LEFT);
    json_array_foreach(results, i, result) put_result(&t, result);
    table_print(&t, out);
    table_release(&t);
}
