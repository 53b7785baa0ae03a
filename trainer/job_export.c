#include "trainer/job_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *copy_of(const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy) abort();
    return copy;
}

static void read_targets(struct job_export *x, struct field *root)
{
    struct field list, f;
    x->n_targets = (int)field_array(root, "targets", JOB_MAX_TARGETS, &list);
    if (!x->n_targets) field_fail(root, "targets", "names no target");
    for (int i = 0; i < x->n_targets && field_item_object(&list, (size_t)i, &f); i++) {
        x->target[i].format = (enum export_format)field_choice(&f, "format", export_formats);
        x->target[i].type = field_choice_or(&f, "dtype", export_types, 0);
        if (export_type(x->target[i].type)->block > 1 && x->target[i].format != EXPORT_GGUF)
            field_fail(&f, "dtype", "is for gguf; %s takes float32, float16 and bfloat16",
                       export_formats[x->target[i].format]);
        for (int k = 0; k < i; k++)
            if (x->target[k].format == x->target[i].format &&
                x->target[k].type == x->target[i].type)
                field_fail(&f, NULL, "is the same as target %d", k);
        field_end(&f);
    }
}

static void read_prompts(struct job_export *x, struct field *root)
{
    struct field list;
    size_t n = field_array(root, "prompts", JOB_MAX_PROMPTS, &list);
    for (size_t i = 0; i < n; i++) {
        const char *text = field_item_string(&list, i, JOB_MAX_PROMPT);
        if (text) x->prompt[x->n_prompts++] = copy_of(text);
    }
}

static void read_card(struct export_card *card, struct field *root)
{
    static const char *const keys[] = { "name",  "source", "data",  "search",
                                        "ratio", "budget", "scores" };
    const char **member[] = { &card->name,  &card->source, &card->data,  &card->search,
                              &card->ratio, &card->budget, &card->scores };
    struct field f;
    if (!field_object(root, "card", &f)) return;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        *member[i] = copy_of(field_string_or(&f, keys[i], JOB_MAX_CARD, NULL));
    field_end(&f);
}

struct job_export *job_export_read(struct field *root)
{
    struct job_export *x = calloc(1, sizeof *x);
    if (!x) abort();
    read_targets(x, root);
    const char *tokenizer = field_string_or(root, "tokenizer", PATH_ROOM - 1, "");
    snprintf(x->tokenizer, sizeof x->tokenizer, "%s", tokenizer ? tokenizer : "");
    read_prompts(x, root);
    read_card(&x->card, root);
    return x;
}

static void drop(const char *text)
{
    void *owned;
    memcpy(&owned, &text, sizeof owned); /* the card's members are const for everybody else */
    free(owned);
}

void job_export_free(struct job_export *x)
{
    if (!x) return;
    for (int i = 0; i < x->n_prompts; i++) free(x->prompt[i]);
    drop(x->card.name);
    drop(x->card.source);
    drop(x->card.data);
    drop(x->card.search);
    drop(x->card.ratio);
    drop(x->card.budget);
    drop(x->card.scores);
    free(x);
}
