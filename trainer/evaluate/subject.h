#ifndef TRAINER_EVALUATE_SUBJECT_H
#define TRAINER_EVALUATE_SUBJECT_H

#include "trainer/evaluate/report.h"
#include "trainer/formats/weights.h"
#include "trainer/job.h"
#include "trainer/packed.h"

/*
 * The model that is asked: its weights, its tokenizer, and the model itself, open for as many rows
 * and kept keys as the task at hand needs.
 */
struct subject {
    const struct job *job;
    struct weights *weights; /* NULL: a shape with random weights */
    struct shape shape;
    struct tokenizer *tokenizer; /* NULL where no task needs one */
    struct eval_encoding encoding;
    struct eval_subject about;

    struct backend *be;
    struct model *model; /* NULL until subject_run_at */
    struct packed *packed;
    int rows, kept;
};

/* Opens weights and tokenizer and reads nothing large but for digests. subject_close in every
 * case. */
enum status subject_open(struct subject *s, const struct job *job, struct error *err);
void subject_close(struct subject *s);

/* Opens the model (again, if need be) for calls of so many rows and so many kept keys, with
 * positions below `positions`. */
enum status subject_run_at(struct subject *s, int rows, int kept, int positions,
                           struct error *err);

#endif
