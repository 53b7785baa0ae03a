#ifndef SERVER_API_RECIPE_H
#define SERVER_API_RECIPE_H

#include "search/base/emit.h"
#include "search/base/field.h"

/*
 * How to train, as searches, runs and comparisons say it and as lathe-train takes it:
 *
 *     "recipe": {"batch_size": 16, "sequence_length": 128, "grad_accum": 1, "learning_rate": 1e-3,
 *                "schedule": "wsd", "warmup_steps": 20, "decay_fraction": 0.2, "min_lr_ratio": 0,
 *                "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8,
 *                "clip_norm": 1.0, "recompute": false, "shard_moments": false, "z_loss": 0,
 *                "lora": {"rank": 8, "alpha": 16, "targets": ["q", "down"]}},   runs that inherit
 *                                only, none by default; alpha twice the rank, all seven targets
 *     "validation": {"every_steps": 100, "tokens": 16384},
 *     "checkpoint": {"every_steps": 200, "keep": 2, "major_every": 0, "milestones": []},
 *                                     the newest two stay, and those at multiples of major_every
 *                                     and at the milestones, steps that get one of their own
 *     "backend": "cpu", "threads": 2, "seed": 1, "priority": 0,
 *     "precision": "bf16"             "float32", "bf16" or, on CPUs with AMX, "bf16x3"; left
 *                                     out, as the backend prefers
 *
 * All of it may be left out; the values above are the defaults, threads as the server is
 * configured. What is stored and sent to the trainer is complete, so that a default that
 * changes later changes nothing about what was asked before.
 */
enum { TRAINING_MILESTONES = 64 };

struct recipe {
    int64_t batch_size, sequence_length, grad_accum, warmup_steps;
    double learning_rate, decay_fraction, min_lr_ratio;
    double weight_decay, beta1, beta2, epsilon, clip_norm, z_loss;
    int schedule; /* index of recipe_schedules */
    bool recompute, shard_moments;
    struct lora {
        int64_t rank; /* 0: none */
        double alpha;
        unsigned targets; /* bit i: lora_targets[i] */
    } lora;
};

struct training {
    struct recipe recipe;
    int64_t validate_every, validation_tokens, seed;
    struct kept_checkpoints {
        int64_t every_steps, keep, major_every, milestone[TRAINING_MILESTONES];
        int n_milestones;
    } checkpoint;
    int threads, priority;
    int backend;   /* index of training_backends */
    int precision; /* index of training_precisions; 0: not said */
};

extern const char *const recipe_schedules[];  /* "wsd", "cosine", "linear", "constant", NULL */
extern const char *const training_precisions[]; /* "default", "float32", ..., NULL */
extern const char *const training_backends[]; /* "cpu", "ref", "cuda", "cuda-exact", NULL */

extern const char *const lora_targets[];      /* "q", "k", "v", "o", "gate", "up", "down", NULL */

void training_init(struct training *training, int threads);

/* Reads what a body says over what `training` holds; `with_seed` false leaves "seed" to the
 * caller. Failures are recorded in the field's error. */
void training_read(struct training *training, struct field *body, bool with_seed);

/* Fails at /recipe/lora when the recipe has it: `why` says what it does not go with. */
void training_refuse_lora(const struct training *training, struct field *body, const char *why);

/* The values of a stored recipe become the defaults. */
enum status recipe_inherit(struct recipe *recipe, const char *json, size_t len, struct error *err);

/* recipe, validation, checkpoint, backend, threads, seed as members of an open object. */
void training_emit(const struct training *training, struct emit *e);

int64_t recipe_tokens_per_step(const struct recipe *recipe);

#endif
