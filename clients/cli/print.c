#include "clients/cli/print.h"

#include "search/base/emit.h"

enum { MAX_SCALAR_BYTES = 64 << 20, INDENT = 2 };

static void print_scalar(json_t *json, FILE *out)
{
    struct buf text;
    struct emit e;
    buf_init(&text, MAX_SCALAR_BYTES);
    emit_init(&e, &text);
    if (json_is_string(json))
        emit_string_n(&e, json_string_value(json), json_string_length(json));
    else if (json_is_integer(json))
        emit_int(&e, json_integer_value(json));
    else if (json_is_real(json))
        emit_double(&e, json_real_value(json));
    else if (json_is_boolean(json))
        emit_bool(&e, json_is_true(json));
    else
        emit_null(&e);
    fputs(text.bytes, out);
    buf_release(&text);
}

static void print_value(json_t *json, int indent, FILE *out);

/* What stands before an element: a comma unless it is the first, and a new line when indenting. */
static void separate(bool first, int indent, FILE *out)
{
    if (!first) fputc(',', out);
    if (indent >= 0) fprintf(out, "\n%*s", indent, "");
}

static void print_object(json_t *json, int indent, FILE *out)
{
    const char *key;
    json_t *value;
    bool first = true;
    int inner = indent < 0 ? indent : indent + INDENT;
    fputc('{', out);
    json_object_foreach(json, key, value)
    {
        json_t *name = json_string(key);
        separate(first, inner, out);
        print_scalar(name, out);
        fputs(indent < 0 ? ":" : ": ", out);
        print_value(value, inner, out);
        json_decref(name);
        first = false;
    }
    if (!first && indent >= 0) fprintf(out, "\n%*s", indent, "");
    fputc('}', out);
}

static void print_array(json_t *json, int indent, FILE *out)
{
    json_t *value;
    size_t i;
    int inner = indent < 0 ? indent : indent + INDENT;
    fputc('[', out);
    json_array_foreach(json, i, value)
    {
        separate(i == 0, inner, out);
        print_value(value, inner, out);
    }
    if (json_array_size(json) && indent >= 0) fprintf(out, "\n%*s", indent, "");
    fputc(']', out);
}

/* `indent` below 0: all on one line. */
static void print_value(json_t *json, int indent, FILE *out)
{
    if (json_is_object(json))
        print_object(json, indent, out);
    else if (json_is_array(json))
        print_array(json, indent, out);
    else
        print_scalar(json, out);
}

void print_json(json_t *json, FILE *out)
{
    print_value(json, 0, out);
    fputc('\n', out);
}

void print_json_line(json_t *json, FILE *out)
{
    print_value(json, -1, out);
    fputc('\n', out);
    fflush(out);
}
