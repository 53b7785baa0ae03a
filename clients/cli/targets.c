#include "clients/cli/targets.h"

#include <string.h>
#include "clients/cli/look.h"
#include "clients/cli/show.h"
#include "clients/cli/table.h"
#include "clients/cli/text.h"

static double bytes_of(json_t *files)
{
    double sum = 0;
    json_t *file;
    size_t i;
    json_array_foreach(files, i, file) sum += look_number(file, "bytes");
    return sum;
}

static void target_row(struct table *t, json_t *target)
{
    char text[TEXT_MAX];
    static const struct show cells[] = {
        { "", "format", SHOW_TEXT },       { "", "dtype", SHOW_TEXT },
        { "", "architecture", SHOW_TEXT }, { "", "params_stored", SHOW_WHOLE },
        { "", "overhead", SHOW_PERCENT },
    };
    char value[SHOW_MAX];
    json_t *parity = look_at(target, "parity"), *files = look_at(target, "files");
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        table_cell(t, "%s", show_value(value, target, &cells[i]));
    if (json_is_object(parity)) {
        table_cell(t, "%.2g", look_number(parity, "max_abs_logit_difference"));
        table_cell(t, "%.2g", look_number(parity, "mean_kl"));
    } else {
        table_cell(t, "-");
        table_cell(t, "-");
    }
    table_cell(t, "%zu", json_array_size(files));
    table_cell(t, "%s", text_bytes(text, bytes_of(files)));
}

void targets_print(json_t *targets, FILE *out)
{
    static const char *const headings[] = { "format",  "dtype",   "loads as",
                                            "params",  "padding", "logits within",
                                            "mean KL", "files",   "size" };
    struct table t;
    json_t *target;
    size_t i;
    table_init(&t);
    for (size_t h = 0; h < sizeof headings / sizeof *headings; h++)
        table_column(&t, headings[h], h < 3 ? TABLE_LEFT : TABLE_RIGHT);
    json_array_foreach(targets, i, target) target_row(&t, target);
    table_print(&t, out);
    table_release(&t);
}

/* "  transformers, lathe: why", one line for all that say the same. */
static void print_because(json_t *runtimes, size_t first, FILE *out)
{
    json_t *one = json_array_get(runtimes, first), *other;
    const char *why = look_string(one, "why", "");
    bool loads = look_true(one, "loads");
    size_t i;
    for (i = 0; i < first; i++) {
        other = json_array_get(runtimes, i);
        if (look_true(other, "loads") == loads && !strcmp(look_string(other, "why", ""), why))
            return;
    }
    fprintf(out, "  %s ", loads ? "in " : "not");
    json_array_foreach(runtimes, i, other)
    {
        if (look_true(other, "loads") != loads || strcmp(look_string(other, "why", ""), why))
            continue;
        fprintf(out, "%s%s", i > first ? ", " : "", look_string(other, "runtime", "?"));
    }
    fprintf(out, ": %s\n", why);
}

void targets_print_runtimes(json_t *targets, FILE *out)
{
    json_t *target, *runtimes, *one;
    size_t i, k;
    json_array_foreach(targets, i, target)
    {
        runtimes = look_at(target, "runtimes");
        if (!json_array_size(runtimes)) continue;
        fprintf(out, "\n%s %s loads\n", look_string(target, "format", "?"),
                look_string(target, "dtype", "?"));
        json_array_foreach(runtimes, k, one) print_because(runtimes, k, out);
    }
}

static const struct show file_columns[] = {
    { "artifact", "artifact", SHOW_TEXT },
    { "file", "name", SHOW_TEXT },
    { "size", "bytes", SHOW_BYTES },
    { "sha256", "sha256", SHOW_TEXT },
    { NULL, NULL, 0 },
};

void targets_print_files(json_t *targets, FILE *out)
{
    json_t *target;
    size_t i;
    json_array_foreach(targets, i, target)
    {
        fprintf(out, "\n%s %s\n", look_string(target, "format", "?"),
                look_string(target, "dtype", "?"));
        show_list(look_at(target, "files"), file_columns, out);
    }
}
