#ifndef TRAINER_JOB_EXPORT_H
#define TRAINER_JOB_EXPORT_H

#include "search/base/field.h"
#include "trainer/export/export.h"
#include "trainer/formats/file.h"

/*
 * What a job of kind export adds to a job:
 *
 *     "model": {"path": "/folder or file.gguf"},     or {"shape": {...}}, for targets shape alone
 *     "targets": [{"format": "hf" | "hf_padded" | "decilm" | "gguf" | "safetensors" | "shape",
 *                  "dtype": "float32" | "float16" | "bfloat16" | "q8_0" | "q4_0"}, ...],
 *     "tokenizer": "/folder",           that holds a tokenizer.json; default: the model's, if any
 *     "prompts": ["text", ...],         on which logits are compared; default: some English
 *     "card": {"name", "source", "data", "search", "ratio", "budget", "scores"}   texts
 */
enum { JOB_MAX_TARGETS = 16, JOB_MAX_PROMPTS = 64, JOB_MAX_PROMPT = 8192, JOB_MAX_CARD = 4096 };

struct job_target {
    enum export_format format;
    int type; /* of export_types */
};

struct job_export {
    int n_targets, n_prompts;
    struct job_target target[JOB_MAX_TARGETS];
    char tokenizer[PATH_ROOM];
    char *prompt[JOB_MAX_PROMPTS];
    struct export_card card; /* its texts are owned */
};

/* Reads all but "model". The result is freed by job_export_free whatever happened. */
struct job_export *job_export_read(struct field *root);
void job_export_free(struct job_export *export); /* NULL is fine */

#endif
