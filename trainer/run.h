#ifndef TRAINER_RUN_H
#define TRAINER_RUN_H

#include "trainer/event.h"
#include "trainer/job.h"

/*
 * What is done for each kind of job. Each tells its events, ends with `done` and
 * returns OK, or fails with what main() makes an `error` event and an exit code of.
 * work_dir exists and is locked.
 */
enum status run_train(const struct job *job, struct events *events, struct error *err);
enum status run_search(const struct job *job, struct events *events, struct error *err);
enum status run_dataset(const struct job *job, struct events *events, struct error *err);
enum status run_evaluate(const struct job *job, struct events *events, struct error *err);
enum status run_export(const struct job *job, struct events *events, struct error *err);
enum status run_import(const struct job *job, struct events *events, struct error *err);

/* dry_run of train and search: an event `estimate` instead of any work. */
enum status run_estimate(const struct job *job, struct events *events, struct error *err);

#endif
