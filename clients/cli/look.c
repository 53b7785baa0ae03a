#include "clients/cli/look.h"

#include <math.h>
#include <string.h>

json_t *look_at(json_t *json, const char *path)
{
    while (json && *path) {
        size_t len = strcspn(path, ".");
        json = json_object_getn(json, path, len);
        path += len + (path[len] == '.');
    }
    return json;
}

const char *look_string(json_t *json, const char *path, const char *otherwise)
{
    const char *text = json_string_value(look_at(json, path));
    return text ? text : otherwise;
}

double look_number(json_t *json, const char *path)
{
    json_t *found = look_at(json, path);
    return json_is_number(found) ? json_number_value(found) : NAN;
}

int64_t look_int(json_t *json, const char *path, int64_t otherwise)
{
    double value = look_number(json, path);
    return isnan(value) ? otherwise : (int64_t)value;
}

bool look_true(json_t *json, const char *path) { return json_is_true(look_at(json, path)); }
