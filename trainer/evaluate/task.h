#ifndef TRAINER_EVALUATE_TASK_H
#define TRAINER_EVALUATE_TASK_H

#include "search/base/arena.h"
#include "search/base/hash.h"
#include "trainer/evaluate/text.h"
#include "trainer/job_evaluate.h"

/*
 * The items of a task, read from its files. A file holds one JSON object a line, or one array of
 * them, read as in loose_json.h. Members that are not named here are not looked at. Packed files
 * are refused (text_file.h).
 *
 *   pairs       {"choices": [{"context", "continuation"}, ...], "gold": 0}
 *   arc         {"question": {"stem", "choices": [{"text", "label"}]}, "answerKey"} (the original) or
 *               {"question", "choices": {"text": [], "label": []}, "answerKey"} (Hugging Face)
 *               Question: {stem}\nAnswer:|  {text}
 *   hellaswag   {"activity_label", "ctx_a", "ctx_b", "endings": [], "label"}
 *               {activity_label}: {ctx_a} {ctx_b, capitalized}| {ending}, all cleaned (text.h)
 *   piqa        {"goal", "sol1", "sol2", "label"}; without labels, a further file with one a line
 *               Question: {goal}\nAnswer:| {solution}
 *   winogrande  {"sentence", "option1", "option2", "answer"}; two contexts, one continuation:
 *               {sentence up to _}{option}| {the rest, stripped}
 *   boolq       {"passage", "question", "answer" or "label"}
 *               {passage}\nQuestion: {question}?\nAnswer:| no, yes
 *   lambada     {"text"}; {all but the last word}| {the last word}
 *   text        {"text"}, or a file that does not start with a JSON object: one document
 *
 * (| parts context and continuation. Prompts are those of lm-evaluation-harness, version of August
 * 2026, without examples.) E_INPUT names file, line and member; E_LIMIT a ceiling.
 */
enum {
    EVALUATE_MAX_ITEMS = 1 << 20,
    EVALUATE_MAX_CHOICES = 64,
    EVALUATE_MAX_FILE = 256 << 20, /* bytes */
    EVALUATE_MAX_LINE = 4 << 20,   /* of the forms with choices */
    EVALUATE_MAX_DOCUMENT = 64 << 20
};

struct eval_choice {
    struct text context, continuation;
    int64_t letters; /* what acc_norm divides by: of the continuation, without a space before it */
};

struct eval_item {
    struct text doc; /* JSON: the line as it was, or as it was mended */
    int n_choices, gold;
    struct eval_choice *choice;
};

struct eval_items {
    enum evaluate_form form;
    int n; /* that count */
    int n_in_files;
    struct eval_item *item;
    int n_files;
    char sha256[EVALUATE_MAX_FILES][HASH_HEX];
    struct arena arena; /* owns all text */
};

/* eval_items_release in every case. */
enum status eval_items_read(struct eval_items *items, const struct evaluate_task *task,
                            struct error *err);
void eval_items_release(struct eval_items *items);

/* ---- for the forms ---- */

struct item_reader {
    struct eval_items *items;
    struct eval_item *item; /* being read */
    struct field *f;        /* its object */
    struct buf scratch;
};

/* Fills in item->choice, n_choices and gold from the object; failures are the field's. */
void eval_form_read(struct item_reader *r);

/* Text that the items own. */
struct text eval_keep(struct item_reader *r, struct text t);

#endif
