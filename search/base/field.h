#ifndef SEARCH_BASE_FIELD_H
#define SEARCH_BASE_FIELD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "search/base/error.h"

/*
 * Reads a JSON document member by member, and refuses what nobody asked for.
 *
 *     struct field root, recipe;
 *     field_root(&root, json, err);
 *     out->seed = field_int_or(&root, "seed", 0, INT64_MAX, 0);
 *     if (field_object(&root, "recipe", &recipe)) {
 *         out->lr = field_double(&recipe, "learning_rate", 0, 10);
 *         field_end(&recipe);
 *     }
 *     return field_end(&root);
 *
 * The first failure is recorded in `err`, with its JSON pointer (RFC 6901), and
 * every later call returns the default (or 0, NULL, false) and changes nothing:
 * read in a straight line, ask once. `field_end` fails on a member that no call
 * asked for and names it. A `struct field` borrows the json_t; strings it
 * returns live as long as the document.
 */
enum { FIELD_MAX_KEYS = 48, FIELD_MAX_DEPTH = 32 };

struct field {
    json_t *json;               /* the object (or array) being read */
    const struct field *parent; /* for the pointer; NULL at the root */
    const char *key;            /* our name in the parent, or NULL */
    size_t index;               /* our place, when the parent is an array */
    const char *asked[FIELD_MAX_KEYS];
    int n_asked;
    struct error *err;
};

/* Parses text. Duplicate members, nesting beyond FIELD_MAX_DEPTH and trailing
 * text are refused. The caller decrefs the result; NULL on failure. */
json_t *field_parse(const char *text, size_t len, struct error *err);

/* Starts reading an object; anything else is a failure. */
void field_root(struct field *f, json_t *json, struct error *err);

/* Was `key` given (and is not null)? Also counts as asking for it. */
bool field_has(struct field *f, const char *key);

/* Required members: missing is a failure. Bounds are inclusive. */
int64_t field_int(struct field *f, const char *key, int64_t min, int64_t max);
double field_double(struct field *f, const char *key, double min, double max);
const char *field_string(struct field *f, const char *key, size_t max_bytes);

/* Optional members: missing or null gives `otherwise`. */
int64_t field_int_or(struct field *f, const char *key, int64_t min, int64_t max, int64_t otherwise);
double field_double_or(struct field *f, const char *key, double min, double max, double otherwise);
bool field_bool_or(struct field *f, const char *key, bool otherwise);
const char *field_string_or(struct field *f, const char *key, size_t max_bytes, const char *otherwise);

/* One of the NULL-terminated `names`, as its index; required or with a default index.
 * The failure lists the names. */
int field_choice(struct field *f, const char *key, const char *const *names);
int field_choice_or(struct field *f, const char *key, const char *const *names, int otherwise);

/* Opens a member object. False when it is missing or null (no failure) or wrong. */
bool field_object(struct field *f, const char *key, struct field *out);

/* Opens a member array of at most `max` elements; returns their number, 0 when missing. */
size_t field_array(struct field *f, const char *key, size_t max, struct field *out);

/* Elements of an array opened by field_array. */
bool field_item_object(struct field *array, size_t i, struct field *out);
int64_t field_item_int(struct field *array, size_t i, int64_t min, int64_t max);
double field_item_double(struct field *array, size_t i, double min, double max);
const char *field_item_string(struct field *array, size_t i, size_t max_bytes);

/* The member as it stands, or NULL; for values that are kept as JSON. */
json_t *field_json(struct field *f, const char *key);

/* Records a failure at `key` (NULL: at the object itself); the first wins. */
void field_fail(struct field *f, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Fails on members nobody asked for; returns the status of `err`. */
enum status field_end(struct field *f);

#endif
