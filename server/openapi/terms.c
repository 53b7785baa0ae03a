#include "server/openapi/terms.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = 256, REF_MAX = WORD_MAX + 32, WITH_MAX = 8 };

/* ---- single words -------------------------------------------------------------------------- */

static void set_bound(json_t *schema, const char *key, const char *text, size_t n)
{
    char number[64];
    if (!n || n >= sizeof number) return;
    memcpy(number, text, n);
    number[n] = 0;
    json_object_set_new(schema, key, json_loads(number, JSON_DECODE_ANY, NULL));
}

/* "1..64" into low and high; what is left out is not set. */
static void set_bounds(json_t *schema, const char *text, const char *low, const char *high)
{
    const char *dots = strstr(text, "..");
    if (!dots) return;
    set_bound(schema, low, text, (size_t)(dots - text));
    set_bound(schema, high, dots + 2, strlen(dots + 2));
}

static json_t *one_of(char *words)
{
    json_t *list = json_array();
    for (char *at = words, *word; (word = strsep(&at, "|"));)
        json_array_append_new(list, json_string(word));
    return json_pack("{s:s, s:o}", "type", "string", "enum", list);
}

static json_t *id_of(const char *prefix)
{
    char pattern[REF_MAX];
    snprintf(pattern, sizeof pattern, "^%s[1-9][0-9]{0,17}$", prefix);
    return json_pack("{s:s, s:s}", "type", "string", "pattern", pattern);
}

static json_t *reference(const char *name)
{
    char path[REF_MAX];
    snprintf(path, sizeof path, "#/components/schemas/%s", name);
    return json_pack("{s:s}", "$ref", path);
}

/* "int(1..64)": splits off the bounds, leaves "1..64" in *bounds. */
static void split_bounds(char *word, const char **bounds)
{
    char *open = strchr(word, '(');
    *bounds = "";
    if (!open) return;
    *open = 0;
    open[strlen(open + 1)] = 0; /* the closing one */
    *bounds = open + 1;
}

static json_t *plain(char *word, struct error *err)
{
    static const struct {
        const char *word, *schema;
    } words[] = {
        { "int", "{\"type\": \"integer\"}" },
        { "count", "{\"type\": \"integer\", \"minimum\": 0}" },
        { "number", "{\"type\": \"number\"}" },
        { "string", "{\"type\": \"string\"}" },
        { "bool", "{\"type\": \"boolean\"}" },
        { "any", "{}" },
        { "object", "{\"type\": \"object\"}" },
        { "time", "{\"type\": \"string\", \"format\": \"date-time\"}" },
        { "sha256", "{\"type\": \"string\", \"pattern\": \"^[0-9a-f]{64}$\"}" },
    };
    const char *bounds;
    split_bounds(word, &bounds);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i].word, word)) continue;
        json_t *schema = json_loads(words[i].schema, 0, NULL);
        bool text = !strcmp(word, "string");
        set_bounds(schema, bounds, text ? "minLength" : "minimum", text ? "maxLength" : "maximum");
        return schema;
    }
    fail(err, E_INPUT, "\"%s\" is no word for a value", word);
    return NULL;
}

static json_t *single(char *word, struct error *err)
{
    size_t n = strlen(word);
    if (isupper((unsigned char)*word)) return reference(word);
    if (strchr(word, '|')) return one_of(word);
    if (n > 1 && word[n - 1] == '_') return id_of(word);
    return plain(word, err);
}

/* ---- suffixes ------------------------------------------------------------------------------ */

static json_t *or_null(json_t *schema)
{
    json_t *type = json_object_get(schema, "type");
    if (json_is_array(type) || json_object_get(schema, "anyOf") || !json_object_size(schema))
        return schema;
    if (!json_is_string(type) || json_object_get(schema, "enum"))
        return json_pack("{s:[o, {s:s}]}", "anyOf", schema, "type", "null");
    json_object_set_new(schema, "type", json_pack("[O, s]", type, "null"));
    return schema;
}

/* Takes the last character off when it is one of these. */
static char take_last(char *word, const char *of)
{
    size_t n = strlen(word);
    if (!n || !strchr(of, word[n - 1])) return 0;
    char last = word[n - 1];
    word[n - 1] = 0;
    return last;
}

static json_t *collection(char *word, struct error *err)
{
    char last = take_last(word, "]}"), *open = strrchr(word, last == ']' ? '[' : '{');
    if (!last) return single(word, err);
    if (!open) {
        fail(err, E_INPUT, "\"%s\" closes what it did not open", word);
        return NULL;
    }
    *open = 0;
    json_t *item = collection(word, err);
    if (!item) return NULL;
    if (last == '}') return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", item);
    json_t *schema = json_pack("{s:s, s:o}", "type", "array", "items", item);
    set_bounds(schema, open + 1, "minItems", "maxItems");
    return schema;
}

static json_t *of_word(const char *text, int *must, struct error *err)
{
    const char *about = strstr(text, " - ");
    char word[WORD_MAX];
    size_t n = about ? (size_t)(about - text) : strlen(text);
    if (n >= sizeof word) {
        fail(err, E_INPUT, "\"%.60s...\" is too long for a word", text);
        return NULL;
    }
    memcpy(word, text, n);
    word[n] = 0;
    char mark = take_last(word, "!~");
    *must = mark == '!' ? 1 : mark ? 0 : -1;
    bool null = take_last(word, "?");
    json_t *schema = collection(word, err);
    if (schema && null) schema = or_null(schema);
    if (schema && about) json_object_set_new(schema, "description", json_string(about + 3));
    return schema;
}

/* ---- objects ------------------------------------------------------------------------------- */

struct object {
    json_t *properties, *required;
    json_t *all;
    bool taken; /* sent to us */
};

static enum status add_members(struct object *o, json_t *members, struct error *err)
{
    const char *key;
    json_t *term;
    json_object_foreach(members, key, term)
    {
        int must;
        json_t *schema = term_member(term, o->all, &must, err);
        if (!schema) return fail_in(err, "%s", key);
        if (o->taken && must != 1) schema = or_null(schema);
        json_object_set_new(o->properties, key, schema);
        if (must < 0 ? !o->taken : must) json_array_append_new(o->required, json_string(key));
    }
    return OK;
}

/* The members of what it is "with", then its own. */
static enum status add_all(struct object *o, json_t *term, int depth, struct error *err)
{
    const char *with = json_string_value(json_object_get(term, "with"));
    const char *kind = o->taken ? "takes" : "members";
    json_t *other = with ? json_object_get(o->all, with) : NULL;
    if (with && (!other || depth == WITH_MAX))
        return fail(err, E_INPUT, "there is no \"%s\"", with);
    if (other) TRY(add_all(o, other, depth + 1, err));
    return add_members(o, json_object_get(term, kind), err);
}

static json_t *of_object(json_t *term, json_t *all, bool taken, struct error *err)
{
    struct object o = { json_object(), json_array(), all, taken };
    json_t *about = json_object_get(term, "about");
    if (add_all(&o, term, 0, err)) {
        json_decref(o.properties);
        json_decref(o.required);
        return NULL;
    }
    json_t *schema = json_pack("{s:s, s:o}", "type", "object", "properties", o.properties);
    if (json_array_size(o.required)) json_object_set(schema, "required", o.required);
    json_decref(o.required);
    if (about) json_object_set(schema, "description", about);
    if (taken) json_object_set_new(schema, "additionalProperties", json_false());
    return schema;
}

json_t *term_member(json_t *term, json_t *all, int *must, struct error *err)
{
    *must = -1;
    if (json_is_string(term)) return of_word(json_string_value(term), must, err);
    if (!json_is_object(term)) {
        fail(err, E_INPUT, "is neither a word nor an object");
        return NULL;
    }
    bool taken = json_object_get(term, "takes");
    if (taken || json_object_get(term, "members")) return of_object(term, all, taken, err);
    return json_deep_copy(term);
}

json_t *term_schema(json_t *term, json_t *all, struct error *err)
{
    int must;
    return term_member(term, all, &must, err);
}
