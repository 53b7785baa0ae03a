#include "trainer/ranks.h"

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_UNDER_WAY = 1024 };

static struct {
    bool joined;
    int rank, size, local;
    MPI_Request under_way[MOST_UNDER_WAY];
    int n_under_way;
} world = { .size = 1 };

static bool launched(void)
{
    static const char *const names[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i])) return true;
    return false;
}

/* How many tasks srun started, when this process is one of them: what a task starts inherits its
 * variables. */
static int slurm_tasks(void)
{
    const char *n = getenv("SLURM_STEP_NUM_TASKS"), *task = getenv("SLURM_TASK_PID");
    return n && task && atoi(task) == (int)getpid() ? atoi(n) : 1;
}

static enum status join_nobody(struct error *err)
{
    int n = slurm_tasks();
    if (n < 2) return OK;
    return fail(err, E_MISSING,
                "one of %d tasks of a Slurm step that do not know of each other; start them with "
                "srun --mpi=pmix",
                n);
}

static void find_local(void)
{
    MPI_Comm here;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
    MPI_Comm_rank(here, &world.local);
    MPI_Comm_free(&here);
}

enum status ranks_join(struct error *err)
{
    int given;
    if (!launched()) return join_nobody(err);
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &given) != MPI_SUCCESS)
        return fail(err, E_MISSING, "MPI does not start");
    world.joined = true;
    MPI_Comm_rank(MPI_COMM_WORLD, &world.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world.size);
    find_local();
    return OK;
}

void ranks_leave(void)
{
    if (world.joined) MPI_Finalize();
    world.joined = false;
}

int ranks_rank(void) { return world.rank; }
int ranks_size(void) { return world.size; }
int ranks_local(void) { return world.local; }

static int piece(size_t left) { return left > INT_MAX ? INT_MAX : (int)left; }

void ranks_broadcast(void *bytes, size_t n)
{
    if (world.size == 1) return;
    for (char *at = bytes; n; n -= (size_t)piece(n), at += piece(n))
        MPI_Bcast(at, piece(n), MPI_BYTE, 0, MPI_COMM_WORLD);
}

enum status ranks_share(struct error *err)
{
    ranks_broadcast(err, sizeof *err);
    return err->status;
}

/* Rank 0's sum is everybody's, whatever order the others added in. */
void ranks_sum(double *x, int n)
{
    if (world.size == 1) return;
    MPI_Allreduce(MPI_IN_PLACE, x, n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    MPI_Bcast(x, n, MPI_DOUBLE, 0, MPI_COMM_WORLD);
}

int ranks_most(int x)
{
    if (world.size > 1) MPI_Allreduce(MPI_IN_PLACE, &x, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    return x;
}

void ranks_barrier(void)
{
    if (world.size > 1) MPI_Barrier(MPI_COMM_WORLD);
}

void ranks_finish(void)
{
    if (world.size == 1) return;
    MPI_Waitall(world.n_under_way, world.under_way, MPI_STATUSES_IGNORE);
    world.n_under_way = 0;
}

static MPI_Request *one_more(void)
{
    if (world.n_under_way == MOST_UNDER_WAY) ranks_finish();
    return &world.under_way[world.n_under_way++];
}

/* MPI moves data only while it is called. */
static void move_on(void)
{
    int done;
    MPI_Testall(world.n_under_way, world.under_way, &done, MPI_STATUSES_IGNORE);
    if (done) world.n_under_way = 0;
}

void ranks_sum_begin(float *x, size_t n)
{
    if (world.size == 1) return;
    for (; n; n -= (size_t)piece(n), x += piece(n))
        MPI_Iallreduce(MPI_IN_PLACE, x, piece(n), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, one_more());
    move_on();
}

void ranks_spread_begin(float *x, size_t n, int from)
{
    if (world.size == 1) return;
    for (; n; n -= (size_t)piece(n), x += piece(n))
        MPI_Ibcast(x, piece(n), MPI_FLOAT, from, MPI_COMM_WORLD, one_more());
    move_on();
}

void ranks_hand_over(float *x, size_t n, int from)
{
    if (!from || (world.rank && world.rank != from)) return;
    for (; n; n -= (size_t)piece(n), x += piece(n)) {
        if (world.rank)
            MPI_Send(x, piece(n), MPI_FLOAT, 0, 0, MPI_COMM_WORLD);
        else
            MPI_Recv(x, piece(n), MPI_FLOAT, from, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
}

enum status ranks_agree(const char *text, const char *what, struct error *err)
{
    char root[128] = "";
    if (world.size == 1) return OK;
    strncpy(root, text, sizeof root - 1);
    ranks_broadcast(root, sizeof root);
    int differs = strncmp(root, text, sizeof root - 1) != 0;
    if (!ranks_most(differs)) return OK;
    return fail(err, E_CONFLICT, "rank %d: the ranks do not agree on %s", world.rank, what);
}

void ranks_abort(int code)
{
    if (world.size > 1) MPI_Abort(MPI_COMM_WORLD, code);
}
