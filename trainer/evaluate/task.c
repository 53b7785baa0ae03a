#include "trainer/evaluate/task.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/data/loose_json.h"
#include "trainer/data/text_file.h"

/* Files to lines to items. */

enum { ARENA_CEILING_MIB = 2048 };

struct source {
    const struct evaluate_task *task;
    const char *path;
    int64_t *labels; /* bare numbers, one a line (piqa) */
    size_t n_labels;
};

struct text eval_keep(struct item_reader *r, struct text t)
{
    char *copy = arena_alloc(&r->items->arena, t.len + 1, 1);
    if (!copy) {
        field_fail(r->f, NULL, "does not fit: the task has more than %d MiB of text",
                   ARENA_CEILING_MIB);
        return (struct text){ "", 0 };
    }
    if (t.len) memcpy(copy, t.at, t.len);
    return (struct text){ copy, t.len };
}

/* ---- items ----------------------------------------------------------------------------------- */

static struct eval_item *new_item(struct eval_items *items, struct error *err)
{
    if (items->n_in_files == EVALUATE_MAX_ITEMS) {
        fail(err, E_LIMIT, "the task has more than %d items", EVALUATE_MAX_ITEMS);
        return NULL;
    }
    int n = items->n_in_files++;
    if (!(n & (n - 1))) { /* room doubles */
        items->item = realloc(items->item, (size_t)(n ? 2 * n : 1) * sizeof *items->item);
        if (!items->item) abort();
    }
    items->item[n] = (struct eval_item){ 0 };
    return &items->item[n];
}

/* `doc` is the object's own text, or NULL when there is none. */
static void read_item(struct eval_items *items, json_t *json, struct text doc, struct error *err)
{
    struct field f;
    struct item_reader r = { .items = items, .f = &f };
    char *dumped = NULL;
    field_root(&f, json, err);
    if (err->status || !(r.item = new_item(items, err))) return;
    if (!doc.at) {
        dumped = json_dumps(json, JSON_COMPACT);
        if (!dumped) abort();
        doc = text_of(dumped);
    }
    buf_init(&r.scratch, EVALUATE_MAX_LINE);
    r.item->doc = eval_keep(&r, doc);
    eval_form_read(&r);
    if (r.scratch.failed) field_fail(&f, NULL, "is too long");
    buf_release(&r.scratch);
    free(dumped);
}

static void add_label(struct source *s, int64_t label)
{
    if (!(s->n_labels & (s->n_labels - 1))) {
        s->labels = realloc(s->labels, (s->n_labels ? 2 * s->n_labels : 1) * sizeof *s->labels);
        if (!s->labels) abort();
    }
    s->labels[s->n_labels++] = label;
}

static enum status give_labels(const struct source *s, struct eval_items *items, struct error *err)
{
    if (s->n_labels && (int64_t)s->n_labels != items->n_in_files)
        return fail(err, E_INPUT, "files: %zu labels for %d items", s->n_labels,
                    items->n_in_files);
    for (int i = 0; i < items->n_in_files; i++) {
        struct eval_item *item = &items->item[i];
        if (s->n_labels && (s->labels[i] < 0 || s->labels[i] >= item->n_choices))
            return fail(err, E_INPUT, "files: label %d is not the number of a choice", i + 1);
        if (s->n_labels) item->gold = (int)s->labels[i];
        if (item->gold < 0)
            return fail(err, E_INPUT, "files: item %d has no label, and no file brings the labels",
                        i + 1);
    }
    return OK;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static struct text trim(struct text t)
{
    while (t.len && strchr(" \t\r\n", *t.at) && *t.at) t.at++, t.len--;
    while (t.len && strchr(" \t\r\n", t.at[t.len - 1]) && t.at[t.len - 1]) t.len--;
    return t;
}

static bool is_number(struct text t)
{
    return t.len && t.len < 10 && strspn(t.at, "0123456789") >= t.len;
}

static void read_line(struct source *s, struct eval_items *items, struct text line,
                      struct error *err)
{
    int most = items->form == FORM_TEXT ? EVALUATE_MAX_DOCUMENT : EVALUATE_MAX_LINE;
    if (line.len > (size_t)most) {
        fail(err, E_LIMIT, "is longer than %d bytes", most);
    } else if (items->form == FORM_PIQA && is_number(line)) {
        add_label(s, *line.at - '0');
    } else {
        bool mended;
        json_t *json = loose_json_parse(line.at, line.len, 0, &mended, err);
        if (json) read_item(items, json, mended ? (struct text){ 0 } : line, err);
        json_decref(json);
    }
}

static enum status read_lines(struct source *s, struct eval_items *items, struct text all,
                              struct error *err)
{
    for (int line = 1; all.len; line++) {
        const char *end = memchr(all.at, '\n', all.len);
        size_t len = end ? (size_t)(end - all.at) : all.len;
        struct text text = trim((struct text){ all.at, len });
        if (text.len) read_line(s, items, text, err);
        if (err->status) {
            *err->pointer = '\0'; /* it points into the line, not into the job */
            return fail_in(err, "%.200s, line %d", s->path, line);
        }
        len += end != NULL;
        all.at += len, all.len -= len;
    }
    return OK;
}

static enum status read_array(struct source *s, struct eval_items *items, struct text all,
                              struct error *err)
{
    bool mended;
    json_t *json = loose_json_parse(all.at, all.len, 0, &mended, err);
    for (size_t i = 0; i < json_array_size(json) && !err->status; i++) {
        read_item(items, json_array_get(json, i), (struct text){ 0 }, err);
        if (err->status) fail_in(err, "element %zu", i);
    }
    json_decref(json);
    if (!err->status) return OK;
    *err->pointer = '\0';
    return fail_in(err, "%.200s", s->path);
}

/* A whole file as one document. */
static enum status read_plain(struct eval_items *items, struct text all, struct error *err)
{
    json_t *json = json_pack("{s:s%}", "text", all.at, all.len);
    if (!json) return fail(err, E_INPUT, "the text is no UTF-8");
    read_item(items, json, (struct text){ 0 }, err);
    json_decref(json);
    return err->status;
}

static enum status read_text(struct source *s, struct eval_items *items, struct text all,
                             struct error *err)
{
    size_t mark;
    TRY(text_file_start(&mark, all.at, all.len, s->path, err));
    all.at += mark, all.len -= mark;
    struct text start = trim(all);
    if (start.len && *start.at == '[' && items->form != FORM_TEXT)
        return read_array(s, items, all, err);
    if (items->form == FORM_TEXT && (!start.len || *start.at != '{'))
        return read_plain(items, all, err) ? fail_in(err, "%.200s", s->path) : OK;
    return read_lines(s, items, all, err);
}

static enum status read_file(struct source *s, struct eval_items *items, struct error *err)
{
    char *text;
    size_t len;
    TRY(file_read(&text, &len, s->path, EVALUATE_MAX_FILE, err));
    hash_hex(text, len, items->sha256[items->n_files++]);
    read_text(s, items, (struct text){ text, len }, err);
    free(text);
    return err->status;
}

enum status eval_items_read(struct eval_items *items, const struct evaluate_task *task,
                            struct error *err)
{
    struct source s = { .task = task };
    *items = (struct eval_items){ .form = task->form };
    arena_init(&items->arena, (size_t)ARENA_CEILING_MIB << 20);
    for (int i = 0; i < task->n_files && !err->status; i++) {
        s.path = task->file[i];
        read_file(&s, items, err);
    }
    if (!err->status) give_labels(&s, items, err);
    free(s.labels);
    if (err->status) return err->status;
    items->n = items->n_in_files;
    if (task->limit && task->limit < items->n) items->n = (int)task->limit;
    return items->n ? OK : fail(err, E_INPUT, "files: there is no item in them");
}

void eval_items_release(struct eval_items *items)
{
    free(items->item);
    arena_release(&items->arena);
    *items = (struct eval_items){ 0 };
}
