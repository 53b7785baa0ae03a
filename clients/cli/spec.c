#include "clients/cli/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clients/cli/text.h"
#include "search/base/buf.h"
#include "search/base/field.h"

enum { MAX_FILE_BYTES = 16 << 20, MAX_KEY = 64, MAX_ITEM = 128 };

static enum status read_all(FILE *file, const char *path, struct buf *out, struct error *err)
{
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof part, file)) > 0) buf_put(out, part, n);
    if (ferror(file)) return fail(err, E_INPUT, "%s: %s", path, strerror(errno));
    if (out->failed)
        return fail(err, E_INPUT, "%s: larger than %d MiB", path, MAX_FILE_BYTES >> 20);
    return OK;
}

enum status spec_read(const char *path, json_t **out, struct error *err)
{
    struct buf text;
    FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
    if (!file) return fail(err, E_INPUT, "%s: %s", path, strerror(errno));
    buf_init(&text, MAX_FILE_BYTES);
    enum status status = read_all(file, path, &text, err);
    if (file != stdin) fclose(file);
    if (!status) *out = field_parse(text.bytes ? text.bytes : "", text.len, err);
    if (!status && !*out) status = fail_in(err, "%s", path);
    buf_release(&text);
    return status;
}

enum status spec_set(json_t *body, const char *path, json_t *value, struct error *err)
{
    char key[MAX_KEY];
    size_t len = strcspn(path, ".");
    if (!json_is_object(body) || !len || len >= sizeof key) {
        json_decref(value);
        return fail(err, E_INPUT, "cannot set '%s': not the path of a member", path);
    }
    snprintf(key, sizeof key, "%.*s", (int)len, path);
    if (!path[len]) {
        json_object_set_new(body, key, value);
        return OK;
    }
    json_t *inner = json_object_get(body, key);
    if (!inner) json_object_set_new(body, key, inner = json_object());
    return spec_set(inner, path + len + 1, value, err);
}

enum status spec_subject(json_t *body, const char *id, struct error *err)
{
    static const char *const members[][2] = { { "run_", "run" },
                                              { "arch_", "architecture" },
                                              { "mod_", "model" } };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (!strncmp(id, members[i][0], strlen(members[i][0])))
            return spec_set(body, members[i][1], json_string(id), err);
    return fail(err, E_INPUT,
                "'%.64s' is neither a run, an architecture nor a model: run_3, arch_9 and mod_1 "
                "are",
                id);
}

static json_t *count_value(const char *text)
{
    double value;
    return text_parse_count(text, &value) ? json_integer((json_int_t)value) : NULL;
}

static json_t *number_value(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end) return NULL;
    return value == (double)(json_int_t)value ? json_integer((json_int_t)value) : json_real(value);
}

/* "a,b,c" by another reader for each item; NULL when one is wrong. */
static json_t *list_value(const char *text, json_t *(*read)(const char *text))
{
    json_t *list = json_array();
    for (;;) {
        char item[MAX_ITEM];
        size_t len = strcspn(text, ",");
        json_t *value = NULL;
        if (len && len < sizeof item) {
            snprintf(item, sizeof item, "%.*s", (int)len, text);
            value = read(item);
        }
        if (!value) return json_decref(list), NULL;
        json_array_append_new(list, value);
        if (!text[len]) return list;
        text += len + 1;
    }
}

/* A shape whose layers are all alike, tied, with the numbers most small models use.
 * vocab_size is left out: the command fills it in from the dataset. */
static json_t *uniform_shape(const char *text)
{
    int layers, hidden, heads, kv_heads, ffn;
    char end;
    if (sscanf(text, "%d,%d,%d,%d,%d%c", &layers, &hidden, &heads, &kv_heads, &ffn, &end) != 5)
        return NULL;
    if (layers < 1 || layers > 128 || heads < 1 || hidden < heads) return NULL;
    json_t *list = json_array();
    for (int l = 0; l < layers; l++)
        json_array_append_new(
            list, json_pack("{sisisi}", "q_heads", heads, "kv_heads", kv_heads, "ffn", ffn));
    return json_pack("{sssssisisbsfsfso}", "schema", "lathe.shape/1", "family", "llama",
                     "hidden_size", hidden, "head_dim", hidden / heads, "tie_word_embeddings", 1,
                     "rope_theta", 10000.0, "norm_eps", 1e-5, "layers", list);
}

static json_t *value_of(enum spec_kind kind, const char *text)
{
    switch (kind) {
    case SPEC_COUNT: return count_value(text);
    case SPEC_NUMBER: return number_value(text);
    case SPEC_NUMBERS: return list_value(text, number_value);
    case SPEC_STRINGS: return list_value(text, json_string);
    case SPEC_UNIFORM: return uniform_shape(text);
    default: return json_string(text);
    }
}

static const char *expected(enum spec_kind kind)
{
    static const char *const words[] = { "text in UTF-8",
                                         "a whole number such as 5000, 400k or 1.5M",
                                         "a number",
                                         "numbers separated by commas",
                                         "words separated by commas",
                                         "a file",
                                         "LAYERS,HIDDEN,HEADS,KV_HEADS,FFN such as 8,128,4,4,352" };
    return words[kind];
}

static enum status apply(const struct args *args, const struct spec *spec, json_t *body,
                         struct error *err)
{
    const char *text = args_get(args, spec->option);
    json_t *value = NULL;
    if (!text) return OK;
    if (spec->kind == SPEC_SHAPE)
        TRY(spec_read(text, &value, err));
    else
        value = value_of(spec->kind, text);
    if (!value)
        return fail(err, E_INPUT, "--%s is '%s'; it must be %s", spec->option, text,
                    expected(spec->kind));
    return spec_set(body, spec->path, value, err);
}

/* --set PATH=VALUE; a VALUE that is not JSON is a string. */
static enum status apply_set(const char *text, json_t *body, struct error *err)
{
    char path[512];
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || (size_t)(equals - text) >= sizeof path)
        return fail(err, E_INPUT, "--set is '%s'; it must be PATH=VALUE", text);
    snprintf(path, sizeof path, "%.*s", (int)(equals - text), text);
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (!value) value = json_string(equals + 1);
    if (!value) return fail(err, E_INPUT, "--set %s: the value is not UTF-8", path);
    return spec_set(body, path, value, err);
}

static enum status fill(const struct args *args, const struct spec *table, json_t *body,
                        struct error *err)
{
    if (!json_is_object(body)) return fail(err, E_INPUT, "the body must be a JSON object");
    for (const struct spec *spec = table; spec->option; spec++) TRY(apply(args, spec, body, err));
    const char *text;
    for (int i = 0; (text = args_each(args, "set", i)); i++) TRY(apply_set(text, body, err));
    return OK;
}

enum status spec_build(const struct args *args, const struct spec *table, json_t **body,
                       struct error *err)
{
    const char *file = args_get(args, "file");
    *body = NULL;
    if (file)
        TRY(spec_read(file, body, err));
    else
        *body = json_object();
    enum status status = fill(args, table, *body, err);
    if (status) json_decref(*body), *body = NULL;
    return status;
}
