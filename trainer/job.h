#ifndef TRAINER_JOB_H
#define TRAINER_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include "search/search_options.h"
#include "search/shape.h"
#include "trainer/checkpoint.h"
#include "trainer/data/bpe_train.h"
#include "trainer/data/build.h"
#include "trainer/formats/file.h"
#include "trainer/job_evaluate.h"
#include "trainer/job_export.h"
#include "trainer/lora.h"
#include "trainer/optim.h"

/*
 * A job: everything lathe-train is asked to do, one JSON object ("lathe.job/1").
 * What a member means is said here; a member nobody knows is refused by name, and
 * so is one that the kind has no use for.
 *
 *     {"schema": "lathe.job/1", "kind": "train", "job_id": "job_7",
 *      "work_dir": "/dir",            all that the job writes lies below it
 *      "backend": "cpu", "threads": 2, "seed": 1, "dry_run": false,
 *      "precision": "bf16",           of matrix products, "float32", "bf16" or "bf16x3" (float32 by
 *                                     three bf16 products, on CPUs with AMX); left out: float32
 *                                     on the CPU, bf16 on a GPU (backend.h)
 *
 *   kinds train and search
 *      "model": {"shape": {...}}      random weights from the seed, or
 *               {"path": "/folder"},  these weights (weights.h says which formats)
 *      "data": {"path": "/dataset", "weights": {"domain": 0.7, ...},
 *               "target_losses": {"domain": 1.96, ...}},     every domain; mixture.h
 *      "recipe": {"batch_size": 16, "sequence_length": 128, "grad_accum": 1,
 *                 "learning_rate": 1e-3, "schedule": "wsd", "warmup_steps": 20,
 *                 "decay_fraction": 0.2, "min_lr_ratio": 0, "weight_decay": 0.1,
 *                 "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "clip_norm": 1.0,
 *                 "recompute": false,      less memory for more time (model.h); grad_accum 1 takes
 *                                    less than more does, too: activations then lie in gradients
 *                 "shard_moments": false,    of several processes (ranks.h) each keeps AdamW's
 *                                    moments of its own share of the weights only. Checkpoints are
 *                                    the same, and a job may go on with or without; not with lora
 *               "z_loss": 0,        times log^2 of the softmax's sum, added to every loss (1e-4
 *                                   in PaLM); not together with a teacher
 *               "lora": {"rank": 8, "alpha": 16, "targets": ["q", "down", ...]}},
 *                                   none by default; kind train with model/path only: adapters
 *                                   of these matrices (all seven) are trained in place of the
 *                                   weights and added to them at the end (lora.h). alpha is
 *                                   twice the rank when left out
 *      "teacher": {"path": "/folder", "weight": 0.5, "temperature": 2},   may be left out: what
 *                                     the model learns from besides the text (struct distill)
 *      "budget": {"tokens": N,        rounded up to whole steps; of a search: for the
 *                                     source, before the warm-up, and 0 is allowed
 *                 "recover_tokens": M}, of a search, 0 by default: training goes on
 *                                     afterwards, until so many tokens beyond what the
 *                                     search was planned to take; result in `result`
 *      "search": {...},               search_options.h; kind search only. The learning
 *                                     rate is constant after its warm-up; with recovery
 *                                     it follows the recipe's schedule over the whole job
 *                                     (cosine: one for growing up, pruning and recovery,
 *                                     methods.md 7; wsd decays in the recovery only)
 *      "validation": {"every_steps": 100, "tokens": 16384},
 *      "checkpoint": {"every_steps": 200, "keep": 2,      the newest two stay,
 *                     "major_every": 0,   and those at multiples of this many steps,
 *                     "milestones": []}}  and at these steps, which get one of their own
 *
 *   kind dataset
 *      "name": "gcide", "files": [{"path": "/f", "format": "text", "domain": null}],
 *      "tokenizer": {"kind": "bytes"}, {"kind": "hf", "path": "/tokenizer.json"} (or whatever
 *                   tokenizer_open takes; tokenizer_config.json beside it may name what ends
 *                   a document, data/ends.h), or one trained on the files:
 *                   {"kind": "train", "vocab_size": 4096, "family": "smollm", "min_count": 2},
 *      "validation_fraction": 0.05
 *
 *   kind import
 *      "name": "smollm", "files": [{"path": "/blobs/17", "name": "config.json"}, ...]
 *      or "path": "/folder"
 *
 *   kind export
 *      job_export.h
 *
 *   kind evaluate
 *      job_evaluate.h
 *
 * backend, threads (all processors), seed (1), dry_run and every member of recipe,
 * validation and checkpoint may be left out; the values above are the defaults.
 */
enum job_kind {
    JOB_TRAIN,
    JOB_SEARCH,
    JOB_DATASET,
    JOB_IMPORT,
    JOB_EXPORT,
    JOB_EVALUATE,
    JOB_KINDS
};

extern const char *const job_kind_names[];

enum { JOB_MAX_BYTES = 4 << 20, JOB_MAX_FILES = 4096, JOB_NAME = 128 };

struct recipe {
    int batch_size, sequence_length, grad_accum;
    struct lr_schedule lr; /* total_steps is set by whoever knows them */
    struct optim_options optim;
    struct lora_options lora;
    bool recompute, shard_moments;
    double z_loss;
};

struct job_model {
    bool has_shape; /* else path */
    struct shape shape;
    char path[PATH_ROOM];
};

struct job_teacher {
    char path[PATH_ROOM]; /* "": none */
    struct distill distill;
};

struct job_data {
    char path[PATH_ROOM];
    struct by_domain {
        int n; /* 0: not given */
        char domain[DATASET_MAX_DOMAINS][DOMAIN_NAME];
        double value[DATASET_MAX_DOMAINS];
    } weights, targets;
};

struct job {
    enum job_kind kind;
    char id[JOB_NAME], name[JOB_NAME], work_dir[PATH_ROOM], backend[16];
    int threads;
    uint64_t seed;
    bool dry_run;

    struct job_model model;
    struct job_teacher teacher;
    struct job_data data;
    struct recipe recipe;
    int64_t budget_tokens, recover_tokens;
    struct search_options search;
    int64_t validate_every, validation_tokens;
    int64_t checkpoint_every;
    struct checkpoint_keep checkpoint_keep;

    struct build_file *file; /* dataset: path, format, domain; import: path and domain = name */
    int n_files;
    bool tokenizer_is_bytes, tokenizer_is_trained;
    struct bpe_train_options tokenizer_train;
    char tokenizer_path[PATH_ROOM], import_path[PATH_ROOM];
    double validation_fraction;

    struct job_export *export;     /* kind export only */
    struct job_evaluate *evaluate; /* kind evaluate only */

    char *identity; /* JSON of everything that decides the numbers; a checkpoint keeps it */
};

/* E_INPUT with the JSON pointer of the member that is wrong. job_release in every case. */
enum status job_parse(struct job *job, const char *text, size_t len, struct error *err);
void job_release(struct job *job);

/* Tokens of one optimizer step, of so many (at most INT64_MAX), and steps that a number of tokens
 * takes, rounded up. */
int64_t recipe_tokens_per_step(const struct recipe *recipe);
int64_t recipe_tokens(const struct recipe *recipe, int64_t steps);
int64_t recipe_steps(const struct recipe *recipe, int64_t tokens);

#endif
