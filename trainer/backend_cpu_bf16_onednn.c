#include "trainer/backend_cpu_bf16.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * A primitive is made once for each kind of product and kept: a training has a few dozen.
 * oneDNN uses the same OpenMP team as everything else. The cache belongs to the process, as
 * oneDNN's engine does.
 */
struct key {
    int M, N, K, threads;
    ptrdiff_t a_row, a_col, b_row, b_col, ldc;
    bool add;
};

struct kept {
    struct key key;
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, c;
};

enum { MOST_KEPT = 512 };

static dnnl_engine_t engine;
static dnnl_stream_t stream;
static struct kept kept[MOST_KEPT];
static int n_kept;

static void need(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success) return;
    fprintf(stderr, "oneDNN: %s failed with status %d\n", what, (int)status);
    abort();
}

static dnnl_memory_desc_t describe(int rows, int cols, dnnl_data_type_t type, ptrdiff_t row,
                                   ptrdiff_t col)
{
    dnnl_memory_desc_t desc;
    need(dnnl_memory_desc_init_by_strides(&desc, 2, (dnnl_dims_t){ rows, cols }, type,
                                          (dnnl_dims_t){ row, col }),
         "a description");
    return desc;
}

/* False when oneDNN has nothing for this processor. */
static bool make(struct kept *to, const struct key *key)
{
    dnnl_memory_desc_t a = describe(key->M, key->K, dnnl_bf16, key->a_row, key->a_col);
    dnnl_memory_desc_t b = describe(key->K, key->N, dnnl_bf16, key->b_row, key->b_col);
    dnnl_memory_desc_t c = describe(key->M, key->N, dnnl_f32, key->ldc, 1);
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t ops;
    need(dnnl_matmul_desc_init(&matmul, &a, &b, NULL, &c), "a product's description");
    need(dnnl_primitive_attr_create(&attr), "attributes");
    need(dnnl_post_ops_create(&ops), "attributes");
    if (key->add) need(dnnl_post_ops_append_sum(ops, 1), "adding");
    need(dnnl_primitive_attr_set_post_ops(attr, ops), "attributes");
    bool can = dnnl_primitive_desc_create(&desc, &matmul, attr, engine, NULL) == dnnl_success;
    dnnl_post_ops_destroy(ops);
    dnnl_primitive_attr_destroy(attr);
    if (!can) return false;
    need(dnnl_primitive_create(&to->primitive, desc), "a product");
    dnnl_primitive_desc_destroy(desc);
    need(dnnl_memory_create(&to->a, &a, engine, DNNL_MEMORY_NONE), "a memory");
    need(dnnl_memory_create(&to->b, &b, engine, DNNL_MEMORY_NONE), "a memory");
    need(dnnl_memory_create(&to->c, &c, engine, DNNL_MEMORY_NONE), "a memory");
    to->key = *key;
    return true;
}

static bool same(const struct key *x, const struct key *y)
{
    return x->M == y->M && x->N == y->N && x->K == y->K && x->threads == y->threads &&
           x->a_row == y->a_row && x->a_col == y->a_col && x->b_row == y->b_row &&
           x->b_col == y->b_col && x->ldc == y->ldc && x->add == y->add;
}

static void drop(struct kept *k)
{
    dnnl_primitive_destroy(k->primitive);
    dnnl_memory_destroy(k->a), dnnl_memory_destroy(k->b), dnnl_memory_destroy(k->c);
}

static struct kept *find(const struct key *key)
{
    for (int i = 0; i < n_kept; i++)
        if (same(&kept[i].key, key)) return &kept[i];
    if (n_kept == MOST_KEPT) /* a search whose widths change all the time */
        while (n_kept) drop(&kept[--n_kept]);
    if (!make(&kept[n_kept], key)) need(dnnl_unimplemented, "a product");
    return &kept[n_kept++];
}

static void product(int threads, int M, int N, int K, struct brief a, struct brief b, float *c,
                    int ldc, bool add)
{
    struct key key = { M, N, K, threads, a.row, a.col, b.row, b.col, ldc, add };
    omp_set_num_threads(threads);
    struct kept *k = find(&key);
    union {
        const void *from;
        void *to;
    } left = { a.at }, right = { b.at }; /* oneDNN takes inputs without const */
    need(dnnl_memory_set_data_handle(k->a, left.to), "a memory");
    need(dnnl_memory_set_data_handle(k->b, right.to), "a memory");
    need(dnnl_memory_set_data_handle(k->c, c), "a memory");
    dnnl_exec_arg_t args[] = { { DNNL_ARG_SRC, k->a },
                               { DNNL_ARG_WEIGHTS, k->b },
                               { DNNL_ARG_DST, k->c } };
    need(dnnl_primitive_execute(k->primitive, stream, 3, args), "a product");
    need(dnnl_stream_wait(stream), "a product");
}

const struct brief_gemm *brief_gemm_onednn(int threads)
{
    static const struct brief_gemm onednn = { "onednn", product };
    struct kept probe;
    if (!engine) {
        need(dnnl_engine_create(&engine, dnnl_cpu, 0), "the engine");
        need(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "the stream");
    }
    if (!make(&probe, &(struct key){ 64, 64, 64, threads, 64, 1, 64, 1, 64, false })) return NULL;
    drop(&probe);
    return &onednn;
}
