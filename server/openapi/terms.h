#ifndef SERVER_OPENAPI_TERMS_H
#define SERVER_OPENAPI_TERMS_H

#include <jansson.h>
#include "search/base/error.h"

/*
 * The short words in which the files server/<folder>/<resource>.json say what a value is, and the
 * JSON Schema (2020-12) that they stand for.
 *
 *     "count"                        a whole number, 0 or more; also int, number, string, bool,
 *                                    time (RFC 3339), sha256, any
 *     "int(1..64)" "number(0..1)"    within bounds, both inclusive; one may be left out
 *     "string(1..200)"               so many characters
 *     "srch_"                        an id of that kind
 *     "text|jsonl"                   one of these words
 *     "Shape"                        the schema of that name
 *     "X[]" "X[1..64]" "X{}"         an array, an array of so many, an object of X by free names
 *     "X?"                           or null
 *     "X~"                           may be absent; what we reply has all other members
 *     "X!"                           must be there; what we are sent may lack all other members, or
 *                                    have null there, which is the same
 *     "X - words"                    with a description
 *
 * Suffixes add up, in this order: [] or {}, ?, ~ or !. An object is
 *
 *     {"members": {"id": "upl_", "bytes": "count"}}          what we reply
 *     {"takes": {"name": "string(1..200)", "files": "File[1..256]!"}}  what we are sent: other
 *                                                            members are refused
 *
 * with "about" (a description) and "with" (the name of a schema whose members it has too) if
 * wanted. Anything else is JSON Schema already.
 */

/* The schema that `term` stands for; `all` holds the terms by name, for "with". NULL with err
 * filled when it is none of the above. */
json_t *term_schema(json_t *term, json_t *all, struct error *err);

/* The same, and whether the member must be there, said with ! (1), ~ (0) or not (-1). */
json_t *term_member(json_t *term, json_t *all, int *must, struct error *err);

#endif
