#ifndef TRAINER_JOB_READ_H
#define TRAINER_JOB_READ_H

#include "search/base/field.h"
#include "trainer/job.h"

/*
 * The parts of a job, for job.c: each reads its members of the document into the job, and says
 * in the document's error what is wrong with them (search/base/field.h).
 */

void job_read_training(struct job *job, struct field *root); /* kinds train and search */
void job_read_dataset(struct job *job, struct field *root);
void job_read_import(struct job *job, struct field *root);

/* What several parts have. A text is not empty and shorter than `room`; "" where it is missing. */
void job_read_text(struct field *f, const char *key, char *out, size_t room);
void job_read_model(struct job_model *model, struct field *job);

/* false, and said, when the object is missing. */
bool job_open_object(struct field *f, const char *key, struct field *out);

#endif
