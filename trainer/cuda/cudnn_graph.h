#ifndef TRAINER_CUDA_CUDNN_GRAPH_H
#define TRAINER_CUDA_CUDNN_GRAPH_H

#include "trainer/cuda/device.h"

#include <cudnn.h>

/*
 * cuDNN's graphs of operations, as far as attention needs them. The library is looked for when the
 * backend opens (dlopen of libcudnn.so.9), so a machine without it runs the same binary.
 *
 *     struct plan_draft draft;
 *     draft_begin(&draft, lib);
 *     struct operand x = draft_tensor(&draft, CUDNN_DATA_BFLOAT16, dim, stride), ...
 *     draft_matmul(&draft, x, y, z);
 *     bool ok = draft_plan(&draft, true, &plan);      the draft is over in any case
 *
 * Tensors have four dimensions; strides are counted in elements. A draft never fails half-way: a
 * refusal is remembered and draft_plan answers false.
 */
struct cudnn_library {
    void *shared; /* dlopen's */
    cudnnHandle_t handle;
    size_t version; /* 91900 for 9.19.0 */
    cudnnStatus_t (*create)(cudnnHandle_t *);
    cudnnStatus_t (*destroy)(cudnnHandle_t);
    cudnnStatus_t (*set_stream)(cudnnHandle_t, cudaStream_t);
    size_t (*get_version)(void);
    void (*last_error)(char *, size_t);
    cudnnStatus_t (*make)(cudnnBackendDescriptorType_t, cudnnBackendDescriptor_t *);
    cudnnStatus_t (*drop)(cudnnBackendDescriptor_t);
    cudnnStatus_t (*set)(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t,
                         cudnnBackendAttributeType_t, int64_t, const void *);
    cudnnStatus_t (*get)(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t,
                         cudnnBackendAttributeType_t, int64_t, int64_t *, void *);
    cudnnStatus_t (*finalize)(cudnnBackendDescriptor_t);
    cudnnStatus_t (*execute)(cudnnHandle_t, cudnnBackendDescriptor_t, cudnnBackendDescriptor_t);
};

/* NULL, with the reason on stderr, where the library is absent or too old. */
struct cudnn_library *cudnn_library_open(cudaStream_t stream);
void cudnn_library_close(struct cudnn_library *lib); /* NULL is fine */

struct operand {
    cudnnBackendDescriptor_t descriptor;
    int64_t uid;
    cudnnDataType_t type;
    int64_t dim[4], stride[4];
};

enum { MOST_DESCRIPTORS = 128, MOST_OPERATIONS = 32, MOST_BOUND = 16 };

struct plan_draft {
    struct cudnn_library *lib;
    cudnnBackendDescriptor_t made[MOST_DESCRIPTORS], operation[MOST_OPERATIONS];
    int n_made, n_operations;
    int64_t uid;
    bool failed;
};

void draft_begin(struct plan_draft *draft, struct cudnn_library *lib);

/* Memory that the caller binds; a scalar float that the caller binds as a host pointer; and what
 * lives inside the kernel only. */
struct operand draft_tensor(struct plan_draft *draft, cudnnDataType_t type, const int64_t dim[4],
                            const int64_t stride[4]);
struct operand draft_scalar(struct plan_draft *draft);
struct operand draft_inner(struct plan_draft *draft, cudnnDataType_t type, const int64_t dim[4],
                           const int64_t stride[4]);

/* c = a b; y = mode(x, b) elementwise, `b` and `t` may be NULL; y = index of `axis`; y = reduced x;
 * y = x seen with y's dimensions and strides. */
void draft_matmul(struct plan_draft *draft, struct operand a, struct operand b, struct operand c);
void draft_pointwise(struct plan_draft *draft, cudnnPointwiseMode_t mode, struct operand x,
                     const struct operand *b, const struct operand *t, struct operand y);
void draft_index(struct plan_draft *draft, int axis, struct operand x, struct operand y);
void draft_reduce(struct plan_draft *draft, cudnnReduceTensorOp_t how, struct operand x,
                  struct operand y);
void draft_reshape(struct plan_draft *draft, struct operand x, struct operand y);

/* A compiled graph, how much workspace it wants, and the descriptors that it was made from. */
struct cudnn_plan {
    cudnnBackendDescriptor_t descriptor, made[MOST_DESCRIPTORS];
    int n_made;
    int64_t workspace_bytes;
};

/* The best engine that takes the graph; with `repeatable`, among those that give the same bits each
 * time. False when there is none. */
bool draft_plan(struct plan_draft *draft, bool repeatable, struct cudnn_plan *plan);
void cudnn_plan_release(struct cudnn_library *lib, struct cudnn_plan *plan);

/* Runs the plan on the library's stream, uid[i] at pointer[i]. Ends the process on failure. */
void cudnn_plan_run(struct cudnn_library *lib, const struct cudnn_plan *plan, const int64_t *uid,
                    void *const *pointer, int n, void *workspace);

#endif
