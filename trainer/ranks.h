#ifndef TRAINER_RANKS_H
#define TRAINER_RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include "search/base/error.h"

/*
 * Several processes doing one job: `mpirun -np 4 lathe-train < job.json`, `srun`
 * alike. Each takes its share of every batch; gradients are summed while the
 * backward pass still runs, so all ranks take the same step and keep the same
 * weights. Every rank therefore sees the same saliency and makes the same choice,
 * and after each removal they check that they did. Rank 0 reads the job, speaks,
 * and writes; the others are silent.
 *
 * One of two files implements this: ranks_mpi.c where CMake finds MPI, otherwise
 * ranks_single.c, which is always one rank. A process that no launcher started is
 * rank 0 of 1 and never initialises MPI. All calls but the first two are collective
 * when there are several ranks: every rank makes them, in the same order. A rank that
 * fails ends all of them (ranks_abort); the job then resumes from its checkpoint.
 */

/* Call once, first. E_MISSING when a launcher started several but this build has no MPI,
 * or srun several without PMIx. */
enum status ranks_join(struct error *err);
void ranks_leave(void);

int ranks_rank(void);
int ranks_size(void);
int ranks_local(void); /* number among the ranks of this machine: which GPU to take */
static inline bool ranks_is_root(void) { return ranks_rank() == 0; }

/* Rank 0's bytes, everywhere. */
void ranks_broadcast(void *bytes, size_t n);

/* Rank 0's error (or success), everywhere. */
enum status ranks_share(struct error *err);

/* In place: the sum over the ranks, the same bits on all of them. */
void ranks_sum(double *x, int n);

/* The largest over the ranks. */
int ranks_most(int x);

void ranks_barrier(void);

/* Starts summing `n` floats in place; several may be under way. They are whole, and may be
 * touched again, after ranks_finish. */
void ranks_sum_begin(float *x, size_t n);
/* The same with rank `from`'s floats, which come to all. */
void ranks_spread_begin(float *x, size_t n, int from);
void ranks_finish(void);

/* Rank `from`'s floats come to rank 0; those of the others stay. */
void ranks_hand_over(float *x, size_t n, int from);

/* E_CONFLICT when a rank's text is not rank 0's; `what` names it. */
enum status ranks_agree(const char *text, const char *what, struct error *err);

/* Ends all ranks with this exit code; returns only when there is one. */
void ranks_abort(int code);

#endif
