#ifndef SEARCH_FEASIBILITY_H
#define SEARCH_FEASIBILITY_H

#include "search/shape.h"

/*
 * What stands in the way of a shape that is fine as mathematics: loaders, runtimes, kernels,
 * memory and time. Each obstacle is a finding with a name that programs can test for:
 *
 *   name                   level    when
 *   hidden_not_by_heads    blocks   hf: hidden_size is no multiple of the most query heads;
 *                                   transformers refuses the config
 *   layers_differ          notes    hf: layers differ, so a stock Llama loads it only padded
 *   tensor_parallel_heads  blocks   tensor_parallel n > 1: n does not divide the query heads,
 *                                   or neither divides the other of n and the KV heads
 *   tensor_parallel_ffn    blocks   n does not divide the FFN width
 *   tensor_parallel_vocab  costs    n does not divide the vocabulary, which is then padded
 *   block_hidden, block_attention, block_ffn
 *                          blocks   block 32 or 256: rows of hidden_size, q_heads * head_dim or
 *                                   ffn numbers are no whole number of quantisation blocks
 *   decilm_query_heads     blocks   decilm: query heads differ between layers
 *   decilm_ffn             blocks   decilm: an FFN width is no multiple of 256
 *   ffn_below_32           costs    a layer with fewer than 32 FFN channels: one step from the
 *                                   layers without FFN whose attention llama.cpp's deci graph
 *                                   loses
 *   gemm_8                 costs    gpu: a width is no multiple of 8 (matmuls several times
 *                                   slower)
 *   gemm_64                notes    gpu: a width is no multiple of 64 (no faster than the next)
 *   memory                 blocks   memory_bytes: training needs more (16 bytes a parameter:
 *                                   float32 weights, gradients, two moments)
 *   time                   blocks   seconds: tokens * FLOPs per token / flops_per_second is more
 *
 * A rule whose member in `struct feasibility_rules` is 0 is not looked at; the bounds that hold
 * for every shape (shape_check) are not repeated here.
 *
 * `nearest` is a shape that no width rule blocks any more (and with widths in multiples of 8
 * for gpu), as near as can be found: heads and hidden size by the least sum of relative changes
 * over all head counts, keeping query heads per KV head; every other width to its nearest
 * multiple. Memory and time are not its business. If the shape is fine, it is that shape.
 */
struct feasibility_rules {
    bool hf, decilm, gpu;
    int tensor_parallel; /* processes, 2..1024 */
    int block;           /* 32 or 256 */
    int context;         /* for `time`; 0: 2048 */
    int64_t memory_bytes;
    int64_t tokens;
    double flops_per_second, seconds;
};

enum finding_level { FINDING_NOTES, FINDING_COSTS, FINDING_BLOCKS };

struct finding {
    const char *name;
    enum finding_level level;
    int layer; /* the first layer it holds for, or -1 */
    char text[200];
};

enum { FEASIBILITY_MAX_FINDINGS = 32 };

struct feasibility {
    int n;
    struct finding finding[FEASIBILITY_MAX_FINDINGS]; /* in the order of the table, one each */
    bool feasible;                                    /* none of them blocks */
    struct shape nearest;
    bool has_nearest; /* false: no shape within the ceilings meets the rules */
};

void feasibility_check(const struct shape *shape, const struct feasibility_rules *rules,
                       struct feasibility *out);

/* {"feasible": true, "findings": [{"name", "level", "layer", "detail"}], "nearest": shape} ;
 * nearest is null when there is none. */
void feasibility_emit(const struct feasibility *feasibility, struct emit *e);

/* Reads an object that the caller opened, and ends it: the members of the rules, all optional. */
enum status feasibility_rules_read(struct feasibility_rules *rules, struct field *f);

#endif
