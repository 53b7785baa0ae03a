#ifndef SERVER_JOBS_LAUNCH_H
#define SERVER_JOBS_LAUNCH_H

#include "search/base/error.h"

/*
 * How this runner starts a job: a command in which words in braces stand for what is known when
 * it starts. It is split at spaces, without a shell; quotes ' and " keep spaces together.
 *
 *     mpirun -np {ranks} {trainer}
 *     srun --mpi=pmix -K --job-name {job} -n {ranks} --gpus-per-task 1 -u {trainer}
 *
 * Without --mpi=pmix (where slurm.conf has no MpiDefault) srun's tasks do not know of each other,
 * and the trainer refuses. Tasks of an srun that was killed with -9 run on, unheard, until they are done
 * or cancelled (scancel, InactiveLimit of slurm.conf); the next attempt waits for the lock they hold in
 * the work_dir.
 *
 *   {trainer}   lathe-train; must be there
 *   {ranks}     processes of a job (--ranks)
 *   {job}       job_12
 *   {work_dir}  its folder, which all of its machines must see
 *
 * The command reads the job on standard input and passes the first process's standard output on.
 * What it writes to standard error before the trainer speaks is the job's reason while it is
 * `starting`: "srun: job 12 queued and waiting for resources".
 * SIGTERM must reach the trainers, as mpirun and srun see to. Under a batch system the trainer
 * says what the job is called there (its event `start`, member external_id).
 */
enum { LAUNCH_WORDS = 64 };

struct launch {
    const char *trainer, *job, *work_dir;
    int ranks;
};

/* Words for execvp, ending with NULL, in one piece of memory for free(). A NULL command is the
 * trainer alone. E_INPUT: more than LAUNCH_WORDS, a quote that does not end, no {trainer}, or braces
 * around something else. */
enum status launch_words(char ***out, const char *command, const struct launch *launch,
                         struct error *err);

#endif
