#ifndef TRAINER_TRAINING_H
#define TRAINER_TRAINING_H

#include "search/search.h"
#include "trainer/collector.h"
#include "trainer/data/feed.h"
#include "trainer/data/mixture.h"
#include "trainer/event.h"
#include "trainer/job.h"
#include "trainer/model.h"
#include "trainer/saliency.h"

/*
 * A training in progress: everything that one step needs and changes. Opened from a
 * job, at step 0 or where the newest checkpoint left off; from there on it is a
 * deterministic function of job, backend and number of threads. The clock decides
 * which events are told, never what is computed.
 *
 *     training_open(&t, &job, events, &err);
 *     while (t.step < t.total_steps) training_step(&t, false, &err);
 *     training_close(&t);
 *
 * train.c and search_job.c hold the loops of the two kinds of job.
 */
struct training {
    const struct job *job; /* borrowed, as is `events` */
    struct events *events;
    struct backend *be;
    struct dataset ds;
    struct feed feed;
    struct held_out held, held_domain[DATASET_MAX_DOMAINS]; /* those of domains for a mixture */
    struct mixture mixture;
    bool can_validate; /* the dataset has a validation split */
    struct shape source; /* capacity: of the model at step 0 */
    struct model *model, *teacher; /* the second NULL without one */
    int max_position; /* for config.json */
    struct lr_schedule lr;

    struct saliency *saliency; /* the rest of this block is for searches only */
    struct search search;
    struct scores scores;
    struct collector *collector; /* NULL when the optimizer's sums are all that is needed */
    struct buf removals; /* one JSON object a line */
    int64_t end_step;    /* of the recovery; 0: there is none */

    int64_t step, total_steps; /* done, planned (for searches an estimate) */
    int64_t resumed_from, saved_step;
    double loss, validation_loss; /* last ones; NAN: none yet */
    double grad_norm, last_lr;
    const char *phase; /* of the last step: "source", "warmup", "prune" or "train" */
    int64_t told_ns, since_ns, tokens_since; /* of the last step event; tokens after it */
    double pace_seconds, pace_tokens;        /* fading sums: tokens per second is their ratio */
    int32_t *ids, *targets;                  /* one batch */
};

/* How the model of a job is opened, the share of its moments aside. */
struct model_options training_model_options(const struct job *job);

/* E_INPUT names the member of the job, the file or the tensor that is wrong. training_close in
 * every case. */
enum status training_open(struct training *t, const struct job *job, struct events *events,
                          struct error *err);
void training_close(struct training *t);

bool training_is_search(const struct training *t);
int64_t training_tokens(const struct training *t);

/* One optimizer step; when it `counts`, what the search decides from is collected on the way.
 * E_INPUT when the loss is not finite. */
enum status training_step(struct training *t, bool counts, struct error *err);

/* Mean loss over the held-out windows, told as an event; nothing when there is no split.
 * `steer`: with target losses in the job, the mixture of domains follows too. */
enum status training_validate(struct training *t, bool steer, struct error *err);

/* Validation and checkpoint when the job wants them at this step; E_CANCELLED, with a checkpoint
 * made, when somebody asked us to stop. */
enum status training_between(struct training *t, struct error *err);

enum status training_save(struct training *t, struct error *err);

/* The model folder `name` below work_dir. */
enum status training_export(struct training *t, const char *name, char sha256[HASH_HEX],
                            struct error *err);

/* The end of a training: validation, checkpoint, the model folder `result`, `done`. */
enum status training_finish(struct training *t, struct error *err);

/* ---- what is told (training_events.c) ---- */

void training_tell_start(struct training *t);
/* `force`, or at most about five a second. */
void training_tell_step(struct training *t, bool force);
void training_tell_done(struct training *t, const char *path);

#endif
