#include <stdlib.h>
#include <string.h>

#include "trainer/evaluate/task.h"

/* Each form makes contexts and continuations out of an object's members. */

enum { MAX_TEXT = EVALUATE_MAX_LINE };

static struct text string(struct field *f, const char *key)
{
    const char *text = field_string(f, key, MAX_TEXT);
    return text_of(text ? text : "");
}

/* What was put into the scratch, kept; the scratch is empty again. */
static struct text made(struct item_reader *r)
{
    struct text t = eval_keep(r, (struct text){ r->scratch.bytes, r->scratch.len });
    buf_clear(&r->scratch);
    return t;
}

static void put(struct item_reader *r, struct text t) { buf_put(&r->scratch, t.at, t.len); }
static void puts_(struct item_reader *r, const char *t) { buf_puts(&r->scratch, t); }

static bool start_choices(struct item_reader *r, size_t n, const char *key)
{
    if (r->f->err->status) return false;
    if (n < 1 || n > EVALUATE_MAX_CHOICES) {
        field_fail(r->f, key, "has %zu choices, outside 1..%d", n, EVALUATE_MAX_CHOICES);
        return false;
    }
    r->item->n_choices = (int)n;
    r->item->choice = arena_new(&r->items->arena, struct eval_choice, n);
    if (!r->item->choice) field_fail(r->f, NULL, "does not fit: the task is too large");
    return r->item->choice != NULL;
}

/* A choice by its own text: the continuation is that with a space before it. */
static void set_choice(struct item_reader *r, int i, struct text context, struct text text)
{
    puts_(r, " ");
    put(r, text);
    r->item->choice[i] = (struct eval_choice){ context, made(r), text_letters(text) };
}

static void set_gold(struct item_reader *r, int64_t gold, const char *key)
{
    if (r->f->err->status) return;
    if (gold < 0 || gold >= r->item->n_choices)
        field_fail(r->f, key, "is not the number of a choice");
    r->item->gold = (int)gold;
}

/* A number that some files write as a string; -1 and a failure for anything else. */
static int64_t number(struct field *f, const char *key)
{
    const json_t *json = field_json(f, key);
    char *end;
    if (json_is_integer(json)) return json_integer_value(json);
    if (json_is_boolean(json)) return json_is_true(json);
    if (json_is_string(json)) {
        long value = strtol(json_string_value(json), &end, 10);
        if (*json_string_value(json) && !*end) return value;
    }
    field_fail(f, key, json ? "is no number (has the file no answers?)" : "is missing");
    return -1;
}

/* ---- the forms --------------------------------------------------------------------------------- */

static void read_pairs(struct item_reader *r)
{
    struct field list, f;
    size_t n = field_array(r->f, "choices", EVALUATE_MAX_CHOICES, &list);
    if (!start_choices(r, n, "choices")) return;
    for (int i = 0; i < r->item->n_choices && field_item_object(&list, (size_t)i, &f); i++) {
        struct text continuation = string(&f, "continuation"), bare = continuation;
        if (!continuation.len) field_fail(&f, "continuation", "is empty");
        if (bare.len && *bare.at == ' ') bare.at++, bare.len--;
        r->item->choice[i] = (struct eval_choice){ eval_keep(r, string(&f, "context")),
                                                   eval_keep(r, continuation),
                                                   text_letters(bare) };
    }
    set_gold(r, field_int(r->f, "gold", 0, EVALUATE_MAX_CHOICES), "gold");
}

static struct text question_and_answer(struct item_reader *r, struct text question)
{
    puts_(r, "Question: ");
    put(r, question);
    puts_(r, "\nAnswer:");
    return made(r);
}

/* Choice i of either layout: its text and its label. */
static bool arc_choice(struct item_reader *r, json_t *choices, size_t i, struct text *text,
                       const char **label)
{
    json_t *t, *l;
    if (json_is_array(choices)) {
        t = json_object_get(json_array_get(choices, i), "text");
        l = json_object_get(json_array_get(choices, i), "label");
    } else {
        t = json_array_get(json_object_get(choices, "text"), i);
        l = json_array_get(json_object_get(choices, "label"), i);
    }
    if (!json_is_string(t) || !json_is_string(l)) {
        field_fail(r->f, "choices", "number %zu lacks text or label", i);
        return false;
    }
    *text = text_of(json_string_value(t));
    *label = json_string_value(l);
    return true;
}

static void read_arc(struct item_reader *r)
{
    json_t *question = field_json(r->f, "question");
    bool original = json_is_object(question);
    json_t *choices = original ? json_object_get(question, "choices") : field_json(r->f, "choices");
    json_t *stem = original ? json_object_get(question, "stem") : question;
    const char *key = field_string(r->f, "answerKey", 16), *label;
    size_t n = json_array_size(json_is_array(choices) ? choices : json_object_get(choices, "text"));
    struct text text;
    if (!json_is_string(stem)) field_fail(r->f, "question", "has no text");
    if (!start_choices(r, n, "choices")) return;
    struct text context = question_and_answer(r, text_of(json_string_value(stem)));
    int64_t gold = -1;
    for (size_t i = 0; i < n && arc_choice(r, choices, i, &text, &label); i++) {
        set_choice(r, (int)i, context, text);
        if (gold < 0 && !strcmp(label, key)) gold = (int64_t)i;
    }
    set_gold(r, gold, "answerKey");
}

static struct text hellaswag_context(struct item_reader *r)
{
    struct buf whole;
    buf_init(&whole, MAX_TEXT);
    struct text label = string(r->f, "activity_label"), a = string(r->f, "ctx_a");
    buf_put(&whole, label.at, label.len);
    buf_puts(&whole, ": ");
    buf_put(&whole, a.at, a.len);
    buf_puts(&whole, " ");
    text_capitalize(string(r->f, "ctx_b"), &whole);
    text_clean((struct text){ whole.bytes, whole.len }, &r->scratch);
    buf_release(&whole);
    return made(r);
}

static void read_hellaswag(struct item_reader *r)
{
    struct field list;
    size_t n = field_array(r->f, "endings", EVALUATE_MAX_CHOICES, &list);
    struct text context = hellaswag_context(r);
    if (!start_choices(r, n, "endings")) return;
    for (size_t i = 0; i < n; i++) {
        const char *ending = field_item_string(&list, i, MAX_TEXT);
        text_clean(text_of(ending ? ending : ""), &r->scratch);
        struct text clean = made(r);
        set_choice(r, (int)i, context, clean);
    }
    set_gold(r, number(r->f, "label"), "label");
}

static void read_piqa(struct item_reader *r)
{
    struct text context = question_and_answer(r, string(r->f, "goal"));
    if (!start_choices(r, 2, "goal")) return;
    set_choice(r, 0, context, string(r->f, "sol1"));
    set_choice(r, 1, context, string(r->f, "sol2"));
    if (field_has(r->f, "label"))
        set_gold(r, number(r->f, "label"), "label");
    else
        r->item->gold = -1; /* in a file of its own */
}

static void read_winogrande(struct item_reader *r)
{
    static const char *const keys[] = { "option1", "option2" };
    struct text sentence = string(r->f, "sentence");
    const char *gap = sentence.len ? memchr(sentence.at, '_', sentence.len) : NULL;
    if (!gap) field_fail(r->f, "sentence", "has no _");
    if (!start_choices(r, 2, "sentence")) return;
    size_t before = (size_t)(gap - sentence.at);
    struct text rest = text_strip((struct text){ gap + 1, sentence.len - before - 1 });
    for (int i = 0; i < 2; i++) {
        put(r, (struct text){ sentence.at, before });
        put(r, string(r->f, keys[i]));
        struct text context = made(r);
        set_choice(r, i, context, rest);
    }
    set_gold(r, number(r->f, "answer") - 1, "answer");
}

static void read_boolq(struct item_reader *r)
{
    const char *key = field_has(r->f, "answer") ? "answer" : "label";
    put(r, string(r->f, "passage"));
    puts_(r, "\nQuestion: ");
    put(r, string(r->f, "question"));
    puts_(r, "?\nAnswer:");
    struct text context = made(r);
    if (!start_choices(r, 2, "passage")) return;
    set_choice(r, 0, context, text_of("no"));
    set_choice(r, 1, context, text_of("yes"));
    set_gold(r, number(r->f, key), key);
}

static void read_lambada(struct item_reader *r)
{
    struct text t = string(r->f, "text");
    size_t at = t.len;
    while (at && t.at[at - 1] != ' ') at--;
    if (at == t.len) field_fail(r->f, "text", "ends without a word");
    if (!start_choices(r, 1, "text")) return;
    struct text context = eval_keep(r, (struct text){ t.at, at ? at - 1 : 0 });
    set_choice(r, 0, context, (struct text){ t.at + at, t.len - at });
}

static void read_document(struct item_reader *r)
{
    const char *text = field_string(r->f, "text", EVALUATE_MAX_DOCUMENT);
    struct text t = text_of(text ? text : "");
    if (!start_choices(r, 1, "text")) return;
    r->item->choice[0] = (struct eval_choice){ .continuation = eval_keep(r, t) };
}

void eval_form_read(struct item_reader *r)
{
    static void (*const forms[])(struct item_reader *) = {
        [FORM_PAIRS] = read_pairs,           [FORM_ARC] = read_arc,
        [FORM_HELLASWAG] = read_hellaswag,   [FORM_PIQA] = read_piqa,
        [FORM_WINOGRANDE] = read_winogrande, [FORM_BOOLQ] = read_boolq,
        [FORM_LAMBADA] = read_lambada,       [FORM_TEXT] = read_document,
    };
    forms[r->items->form](r);
}
