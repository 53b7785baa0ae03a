#include "trainer/cuda/cudnn_graph.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST = 90600 /* before, some sums had to be zeroed by the caller */, MOST_ENGINES = 16 };

/* ---- the library --------------------------------------------------------------------------- */

static bool load(struct cudnn_library *lib)
{
    static const struct {
        const char *name;
        size_t at;
    } entry[] = {
        { "cudnnCreate", offsetof(struct cudnn_library, create) },
        { "cudnnDestroy", offsetof(struct cudnn_library, destroy) },
        { "cudnnSetStream", offsetof(struct cudnn_library, set_stream) },
        { "cudnnGetVersion", offsetof(struct cudnn_library, get_version) },
        { "cudnnGetLastErrorString", offsetof(struct cudnn_library, last_error) },
        { "cudnnBackendCreateDescriptor", offsetof(struct cudnn_library, make) },
        { "cudnnBackendDestroyDescriptor", offsetof(struct cudnn_library, drop) },
        { "cudnnBackendSetAttribute", offsetof(struct cudnn_library, set) },
        { "cudnnBackendGetAttribute", offsetof(struct cudnn_library, get) },
        { "cudnnBackendFinalize", offsetof(struct cudnn_library, finalize) },
        { "cudnnBackendExecute", offsetof(struct cudnn_library, execute) },
    };
    if (!(lib->shared = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL))) return false;
    for (size_t i = 0; i < sizeof entry / sizeof *entry; i++) {
        void *found = dlsym(lib->shared, entry[i].name);
        if (!found) return false;
        memcpy((char *)lib + entry[i].at, &found, sizeof found);
    }
    return true;
}

struct cudnn_library *cudnn_library_open(cudaStream_t stream)
{
    struct cudnn_library *lib = (struct cudnn_library *)calloc(1, sizeof *lib);
    const char *why = NULL;
    if (!lib) abort();
    if (!load(lib))
        why = "libcudnn.so.9 was not found (or lacks a function)";
    else if ((lib->version = lib->get_version()) < OLDEST)
        why = "cuDNN is older than 9.6";
    else if (lib->create(&lib->handle) || lib->set_stream(lib->handle, stream))
        why = "cuDNN does not start";
    if (!why) return lib;
    fprintf(stderr,
            "cuda: %s: attention runs on kernels of our own, about 1.3x slower steps; install "
            "cuDNN 9 or add its folder to LD_LIBRARY_PATH\n",
            why);
    cudnn_library_close(lib);
    return NULL;
}

void cudnn_library_close(struct cudnn_library *lib)
{
    if (!lib) return;
    if (lib->handle) lib->destroy(lib->handle);
    if (lib->shared) dlclose(lib->shared);
    free(lib);
}

/* ---- drafting ------------------------------------------------------------------------------ */

void draft_begin(struct plan_draft *draft, struct cudnn_library *lib)
{
    memset(draft, 0, sizeof *draft);
    draft->lib = lib;
}

static cudnnBackendDescriptor_t make(struct plan_draft *draft, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t d = NULL;
    if (draft->n_made == MOST_DESCRIPTORS || draft->lib->make(type, &d)) draft->failed = true;
    if (d) draft->made[draft->n_made++] = d;
    return d;
}

static void set(struct plan_draft *draft, cudnnBackendDescriptor_t d,
                cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
                const void *value)
{
    if (draft->lib->set(d, name, type, n, value)) draft->failed = true;
}

static void set_operand(struct plan_draft *draft, cudnnBackendDescriptor_t d,
                        cudnnBackendAttributeName_t name, const struct operand *x)
{
    set(draft, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x->descriptor);
}

static void finalize(struct plan_draft *draft, cudnnBackendDescriptor_t d)
{
    if (!draft->failed && draft->lib->finalize(d)) draft->failed = true;
}

static void finalize_operation(struct plan_draft *draft, cudnnBackendDescriptor_t d)
{
    finalize(draft, d);
    if (draft->n_operations == MOST_OPERATIONS) draft->failed = true;
    if (!draft->failed) draft->operation[draft->n_operations++] = d;
}

static struct operand tensor(struct plan_draft *draft, cudnnDataType_t type, const int64_t dim[4],
                             const int64_t stride[4], bool inner, bool scalar)
{
    struct operand x = {};
    int64_t align = 16;
    x.descriptor = make(draft, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    x.uid = ++draft->uid;
    x.type = type;
    memcpy(x.dim, dim, sizeof x.dim);
    memcpy(x.stride, stride, sizeof x.stride);
    if (draft->failed) return x;
    set(draft, x.descriptor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(draft, x.descriptor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dim);
    set(draft, x.descriptor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride);
    set(draft, x.descriptor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &x.uid);
    set(draft, x.descriptor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
    set(draft, x.descriptor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &inner);
    set(draft, x.descriptor, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &scalar);
    finalize(draft, x.descriptor);
    return x;
}

struct operand draft_tensor(struct plan_draft *draft, cudnnDataType_t type, const int64_t dim[4],
                            const int64_t stride[4])
{
    return tensor(draft, type, dim, stride, false, false);
}

struct operand draft_inner(struct plan_draft *draft, cudnnDataType_t type, const int64_t dim[4],
                           const int64_t stride[4])
{
    return tensor(draft, type, dim, stride, true, false);
}

struct operand draft_scalar(struct plan_draft *draft)
{
    static const int64_t one[4] = { 1, 1, 1, 1 };
    return tensor(draft, CUDNN_DATA_FLOAT, one, one, false, true);
}

void draft_matmul(struct plan_draft *draft, struct operand a, struct operand b, struct operand c)
{
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t how = make(draft, CUDNN_BACKEND_MATMUL_DESCRIPTOR),
                             op = make(draft, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    if (draft->failed) return;
    set(draft, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    finalize(draft, how);
    set_operand(draft, op, CUDNN_ATTR_OPERATION_MATMUL_ADESC, &a);
    set_operand(draft, op, CUDNN_ATTR_OPERATION_MATMUL_BDESC, &b);
    set_operand(draft, op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, &c);
    set(draft, op, CUDNN_ATTR_OPERATION_MATMUL_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &how);
    finalize_operation(draft, op);
}

static cudnnBackendDescriptor_t pointwise(struct plan_draft *draft, cudnnPointwiseMode_t mode,
                                          cudnnDataType_t type, int64_t axis)
{
    cudnnBackendDescriptor_t how = make(draft, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    if (draft->failed) return how;
    set(draft, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(draft, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    if (axis >= 0) set(draft, how, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &axis);
    finalize(draft, how);
    return how;
}

static void add_pointwise(struct plan_draft *draft, cudnnBackendDescriptor_t how, struct operand x,
                          const struct operand *b, const struct operand *t, struct operand y)
{
    cudnnBackendDescriptor_t op = make(draft, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    if (draft->failed) return;
    set(draft, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
        &how);
    set_operand(draft, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, &x);
    if (b) set_operand(draft, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    if (t) set_operand(draft, op, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t);
    set_operand(draft, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, &y);
    finalize_operation(draft, op);
}

void draft_pointwise(struct plan_draft *draft, cudnnPointwiseMode_t mode, struct operand x,
                     const struct operand *b, const struct operand *t, struct operand y)
{
    bool compares = y.type == CUDNN_DATA_BOOLEAN;
    add_pointwise(draft,
                  pointwise(draft, mode, compares ? CUDNN_DATA_BOOLEAN : CUDNN_DATA_FLOAT, -1), x,
                  b, t, y);
}

void draft_index(struct plan_draft *draft, int axis, struct operand x, struct operand y)
{
    add_pointwise(draft, pointwise(draft, CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_FLOAT, axis), x,
                  NULL, NULL, y);
}

void draft_reduce(struct plan_draft *draft, cudnnReduceTensorOp_t how_to, struct operand x,
                  struct operand y)
{
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t how = make(draft, CUDNN_BACKEND_REDUCTION_DESCRIPTOR),
                             op = make(draft, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    if (draft->failed) return;
    set(draft, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(draft, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &how_to);
    finalize(draft, how);
    set(draft, op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &how);
    set_operand(draft, op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, &x);
    set_operand(draft, op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, &y);
    finalize_operation(draft, op);
}

void draft_reshape(struct plan_draft *draft, struct operand x, struct operand y)
{
    cudnnBackendDescriptor_t op = make(draft, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    if (draft->failed) return;
    set_operand(draft, op, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, &x);
    set_operand(draft, op, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, &y);
    finalize_operation(draft, op);
}

/* ---- planning ------------------------------------------------------------------------------ */

static cudnnBackendDescriptor_t whole_graph(struct plan_draft *draft)
{
    cudnnBackendDescriptor_t graph = make(draft, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (draft->failed) return graph;
    set(draft, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &draft->lib->handle);
    set(draft, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
        draft->n_operations, draft->operation);
    finalize(draft, graph);
    return graph;
}

/* Up to MOST_ENGINES configurations, the best first. */
static int configurations(struct plan_draft *draft, cudnnBackendDescriptor_t graph,
                          cudnnBackendDescriptor_t *config)
{
    cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    int64_t n = 0;
    cudnnBackendDescriptor_t heuristic = make(draft, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    if (draft->failed) return 0;
    set(draft, heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
        &graph);
    set(draft, heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    finalize(draft, heuristic);
    for (int i = 0; i < MOST_ENGINES; i++)
        config[i] = make(draft, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (draft->failed || draft->lib->get(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, MOST_ENGINES, &n, config))
        return 0;
    return (int)(n < MOST_ENGINES ? n : MOST_ENGINES);
}

static bool is_repeatable(struct plan_draft *draft, cudnnBackendDescriptor_t config)
{
    cudnnBackendDescriptor_t engine = make(draft, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t n = 0;
    if (draft->failed || draft->lib->get(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &engine))
        return false;
    if (draft->lib->get(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                        CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, note))
        return false;
    for (int64_t i = 0; i < n; i++)
        if (note[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) return false;
    return true;
}

static bool plan_with(struct plan_draft *draft, cudnnBackendDescriptor_t config,
                      struct cudnn_plan *plan)
{
    struct cudnn_library *lib = draft->lib;
    cudnnBackendDescriptor_t d = NULL;
    int64_t n = 0;
    if (lib->make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &d)) return false;
    if (!lib->set(d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &lib->handle) &&
        !lib->set(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                  &config) &&
        !lib->finalize(d) &&
        !lib->get(d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
                  &plan->workspace_bytes)) {
        plan->descriptor = d;
        return true;
    }
    lib->drop(d);
    return false;
}

bool draft_plan(struct plan_draft *draft, bool repeatable, struct cudnn_plan *plan)
{
    cudnnBackendDescriptor_t config[MOST_ENGINES];
    bool found = false;
    int n = configurations(draft, whole_graph(draft), config);
    for (int i = 0; i < n && !found; i++)
        found =
            (!repeatable || is_repeatable(draft, config[i])) && plan_with(draft, config[i], plan);
    memcpy(plan->made, draft->made, sizeof plan->made);
    plan->n_made = draft->n_made;
    if (!found) cudnn_plan_release(draft->lib, plan);
    return found;
}

void cudnn_plan_release(struct cudnn_library *lib, struct cudnn_plan *plan)
{
    if (plan->descriptor) lib->drop(plan->descriptor);
    plan->descriptor = NULL;
    while (plan->n_made) lib->drop(plan->made[--plan->n_made]);
}

/* ---- running ------------------------------------------------------------------------------- */

void cudnn_plan_run(struct cudnn_library *lib, const struct cudnn_plan *plan, const int64_t *uid,
                    void *const *pointer, int n, void *workspace)
{
    cudnnBackendDescriptor_t pack = NULL;
    if (lib->make(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack) ||
        lib->set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uid) ||
        lib->set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, pointer) ||
        lib->set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace) ||
        lib->finalize(pack) || lib->execute(lib->handle, plan->descriptor, pack)) {
        char why[256] = "";
        lib->last_error(why, sizeof why);
        fprintf(stderr, "cuda: cuDNN attention failed: %s\n", why);
        exit(1);
    }
    lib->drop(pack);
}
