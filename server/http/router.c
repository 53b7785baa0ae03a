#include "server/http/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tree of path segments. Children of a node are few, so they are a list. */
struct node {
    const char *text; /* into the template; NULL for {name} */
    size_t n_text;
    const char *name; /* without the braces */
    size_t n_name;
    struct node *child, *next;
    const struct route *routes[8]; /* of the path that ends here, one per method */
    int n_routes;
};

struct router {
    struct node root;
    const struct route **all;
    size_t n, capacity;
};

struct router *router_new(void)
{
    struct router *router = calloc(1, sizeof *router);
    if (!router) abort();
    return router;
}

static void free_children(struct node *node)
{
    for (struct node *c = node->child, *next; c; c = next) {
        next = c->next;
        free_children(c);
        free(c);
    }
}

void router_free(struct router *router)
{
    if (!router) return;
    free_children(&router->root);
    free(router->all);
    free(router);
}

/* ---- adding ----------------------------------------------------------------------------- */

static struct node *find_child(struct node *node, const char *text, size_t n, bool is_name)
{
    for (struct node *c = node->child; c; c = c->next)
        if (is_name ? c->name != NULL : c->text && c->n_text == n && !memcmp(c->text, text, n))
            return c;
    return NULL;
}

static struct node *add_child(struct node *node, const char *text, size_t n)
{
    bool is_name = n > 2 && text[0] == '{' && text[n - 1] == '}';
    struct node *found = find_child(node, text, n, is_name);
    if (found) return found;
    struct node *c = calloc(1, sizeof *c);
    if (!c) abort();
    if (is_name)
        c->name = text + 1, c->n_name = n - 2;
    else
        c->text = text, c->n_text = n;
    c->next = node->child;
    node->child = c;
    return c;
}

static void add_to_node(struct node *node, const struct route *route)
{
    for (int i = 0; i < node->n_routes; i++)
        if (!strcmp(node->routes[i]->method, route->method)) {
            fprintf(stderr, "router: %s %s is there twice\n", route->method, route->path);
            abort();
        }
    if (node->n_routes == (int)(sizeof node->routes / sizeof *node->routes)) abort();
    node->routes[node->n_routes++] = route;
}

static void add_one(struct router *router, const struct route *route)
{
    struct node *node = &router->root;
    if (route->scope == SCOPE_UNSET) {
        fprintf(stderr, "router: %s %s has no scope\n", route->method, route->path);
        abort();
    }
    for (const char *p = route->path; *p == '/' && p[1];) {
        size_t n = strcspn(++p, "/");
        node = add_child(node, p, n);
        p += n;
    }
    add_to_node(node, route);
    if (router->n == router->capacity) {
        router->capacity = router->capacity ? router->capacity * 2 : 64;
        router->all = realloc(router->all, router->capacity * sizeof *router->all);
        if (!router->all) abort();
    }
    router->all[router->n++] = route;
}

void router_add(struct router *router, const struct route *routes, size_t n)
{
    for (size_t i = 0; i < n; i++) add_one(router, &routes[i]);
}

const struct route *router_route(const struct router *router, size_t i)
{
    return i < router->n ? router->all[i] : NULL;
}

/* ---- matching --------------------------------------------------------------------------- */

/* The node of a path. Plain text is tried before a name; names are remembered in `match`. */
static const struct node *walk(const struct node *node, const char *path, struct route_match *match)
{
    if (!*path) return node;
    if (*path != '/') return NULL;
    size_t n = strcspn(++path, "/");
    const struct node *found;
    for (const struct node *c = node->child; c; c = c->next)
        if (c->text && c->n_text == n && !memcmp(c->text, path, n) &&
            (found = walk(c, path + n, match)) && found->n_routes)
            return found;
    if (n == 0 || n > ROUTER_MAX_SEGMENT || match->n_params == ROUTER_MAX_PARAMS) return NULL;
    for (const struct node *c = node->child; c; c = c->next) {
        if (!c->name) continue;
        int i = match->n_params++;
        match->name[i] = c->name, match->n_name[i] = c->n_name;
        match->value[i] = path, match->n_value[i] = n;
        if ((found = walk(c, path + n, match)) && found->n_routes) return found;
        match->n_params = i;
    }
    return NULL;
}

static void list_allowed(const struct node *node, struct route_match *match)
{
    size_t n = 0;
    bool get = false;
    for (int i = 0; i < node->n_routes; i++) {
        get |= !strcmp(node->routes[i]->method, "GET");
        n += (size_t)snprintf(match->allow + n, sizeof match->allow - n, "%s, ",
                              node->routes[i]->method);
    }
    snprintf(match->allow + n, sizeof match->allow - n, "%sOPTIONS", get ? "HEAD, " : "");
}

bool router_match(const struct router *router, const char *method, const char *path,
                  struct route_match *match)
{
    match->route = NULL;
    match->n_params = 0;
    match->allow[0] = 0;
    const struct node *node = strcmp(path, "/") ? walk(&router->root, path, match) : &router->root;
    if (!node || !node->n_routes) return false;
    if (!strcmp(method, "HEAD")) method = "GET";
    for (int i = 0; i < node->n_routes; i++)
        if (!strcmp(node->routes[i]->method, method)) match->route = node->routes[i];
    if (!match->route) list_allowed(node, match);
    return match->route != NULL;
}
