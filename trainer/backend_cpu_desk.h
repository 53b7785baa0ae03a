#ifndef TRAINER_BACKEND_CPU_DESK_H
#define TRAINER_BACKEND_CPU_DESK_H

#include "trainer/backend_cpu.h"
#include "trainer/backend_cpu_strips.h"

/*
 * Where a team works on a product of matrices: an operand that the team packed for all, room
 * of each member's own, and the strips that members take. Everything here is called outside of
 * parallel regions but desk_own.
 */
struct desk {
    float *shared, *own;
};

/* With room for `shared` floats of a packed operand. In cpu_scratch: the next desk takes its place.
 */
struct desk desk_of(struct backend *be, size_t shared);

/* The calling member's GEMM_SCRATCH floats. */
float *desk_own(struct desk desk);

/* A left operand (M, K), a right one (K, N), by the whole team. */
void desk_pack_left(struct backend *be, float *to, int M, int K, struct operand a);
void desk_pack_right(struct backend *be, float *to, int K, int N, struct operand b);

/* Strips of a side of `size`, or of the outputs of n <= STRIP_MAPS maps, for the whole team. */
void desk_cut(struct backend *be, struct strips *strips, int size, int unit);
void desk_cut_maps(struct backend *be, struct strips *strips, const struct projection *p, int n,
                   int unit);

#endif
