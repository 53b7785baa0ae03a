#include "trainer/verify.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/emit.h"
#include "trainer/formats/safetensors.h"
#include "trainer/formats/weights.h"
#include "trainer/optim.h"

static const double TOLERANCE = 1e-4;

struct verify {
    struct backend *be;
    struct model *model;
    struct weights *weights;
    struct safetensors *expected;
    struct model_batch batch;
    int32_t *ids, *targets;
    struct emit *emit;
    double least; /* size that the tensors at hand count for at least */
    double worst;
};

static float *floats_of(const struct tensor *t, struct error *err)
{
    float *values = calloc((size_t)tensor_count(t) + 1, sizeof *values);
    if (!values) abort();
    if (!tensor_floats(t, values, err)) return values;
    free(values);
    return NULL;
}

/* Prints and remembers the relative error of n numbers. */
static void compare(struct verify *v, const char *name, const float *got, const float *want,
                    size_t n)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - want[i]);
        difference = d > difference || isnan(d) ? d : difference;
        size = fmax(size, fabs(want[i]));
    }
    double error = difference / fmax(fmax(size, v->least), 1e-30);
    emit_kv_double(v->emit, name, error);
    if (!(error <= v->worst)) v->worst = error;
}

static enum status compare_tensor(struct verify *v, const char *name, const float *got, size_t n,
                                  struct error *err)
{
    const struct tensor *t = safetensors_need(v->expected, name, err);
    if (!t) return err->status;
    if ((size_t)tensor_count(t) != n)
        return fail(err, E_INPUT, "%s has %lld numbers instead of %zu", name,
                    (long long)tensor_count(t), n);
    float *want = floats_of(t, err);
    if (!want) return err->status;
    compare(v, name, got, want, n);
    free(want);
    return OK;
}

static enum status load_weights(struct verify *v, struct error *err)
{
    const struct layout *layout = &v->model->layout;
    for (int i = 0; i < layout->n_slots; i++) {
        const struct slot *slot = &layout->slot[i];
        float *values = calloc((size_t)slot->rows * (size_t)slot->cols, sizeof *values);
        if (!values) abort();
        enum status status = v->weights->read(
            v->weights, slot->name, slot->dims == 2 ? slot->rows : 0, slot->cols, values, err);
        if (!status) model_write(v->model, MODEL_WEIGHTS, slot, values);
        free(values);
        if (status) return status;
    }
    return OK;
}

/* input_ids (B, T); position t predicts id t+1, the last none. */
static enum status read_batch(struct verify *v, const struct shape *shape, struct error *err)
{
    const struct tensor *t = safetensors_need(v->expected, "input_ids", err);
    if (!t) return err->status;
    if (t->type != TENSOR_I32 || t->rank != 2 || t->dim[0] < 1 || t->dim[1] < 2 ||
        tensor_count(t) > 1 << 24)
        return fail(err, E_INPUT, "input_ids must be int32 (batch, time) with time 2 or more");
    int B = (int)t->dim[0], T = (int)t->dim[1];
    v->ids = calloc((size_t)B * (size_t)T, sizeof *v->ids);
    v->targets = calloc((size_t)B * (size_t)T, sizeof *v->targets);
    if (!v->ids || !v->targets) abort();
    memcpy(v->ids, t->bytes, t->n_bytes);
    for (int n = 0; n < B * T; n++) {
        v->targets[n] = n % T == T - 1 ? -1 : v->ids[n + 1];
        if (v->ids[n] < 0 || v->ids[n] >= shape->vocab_size)
            return fail(err, E_INPUT, "input_ids holds %d, outside the vocabulary", v->ids[n]);
    }
    v->batch = (struct model_batch){ v->ids, v->targets, B, T };
    return OK;
}

static enum status verify_forward(struct verify *v, struct error *err)
{
    size_t n = (size_t)(v->batch.batch * v->batch.time) * (size_t)model_shape(v->model)->vocab_size;
    float *logits = calloc(n, sizeof *logits);
    if (!logits) abort();
    model_logits(v->model, &v->batch, logits);
    enum status status = compare_tensor(v, "logits", logits, n, err);
    free(logits);
    if (status) return status;
    int64_t n_targets;
    float loss = (float)(model_loss(v->model, &v->batch, &n_targets) / (double)n_targets);
    return compare_tensor(v, "loss", &loss, 1, err);
}

/* The largest number of all that are expected under a prefix. */
static enum status largest(struct verify *v, const char *prefix, double *out, struct error *err)
{
    const struct layout *layout = &v->model->layout;
    *out = 0;
    for (int i = 0; i < layout->n_slots; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", prefix, layout->slot[i].name);
        const struct tensor *t = safetensors_need(v->expected, name, err);
        float *values = t ? floats_of(t, err) : NULL;
        if (!values) return err->status;
        for (int64_t k = 0; k < tensor_count(t); k++) *out = fmax(*out, fabs(values[k]));
        free(values);
    }
    return OK;
}

/* Every tensor of a block against "<prefix><name>". */
static enum status compare_block(struct verify *v, enum model_block which, const char *prefix,
                                 struct error *err)
{
    const struct layout *layout = &v->model->layout;
    for (int i = 0; i < layout->n_slots; i++) {
        const struct slot *slot = &layout->slot[i];
        size_t n = (size_t)slot->rows * (size_t)slot->cols;
        char name[128];
        snprintf(name, sizeof name, "%s%s", prefix, slot->name);
        float *got = calloc(n, sizeof *got);
        if (!got) abort();
        model_read(v->model, which, slot, got);
        enum status status = compare_tensor(v, name, got, n, err);
        free(got);
        if (status) return status;
    }
    return OK;
}

static enum status verify_training(struct verify *v, struct error *err)
{
    const struct optim_options options = {
        .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1, .clip_norm = 1
    };
    int n = v->batch.batch * (v->batch.time - 1);
    float losses[3], norms[3];
    for (int step = 1; step <= 3; step++) {
        losses[step - 1] = (float)(model_gradient(v->model, &v->batch, 1.0 / n, false) / n);
        if (step == 1) {
            TRY(largest(v, "grad.", &v->least, err));
            v->least *= 1e-3;
            TRY(compare_block(v, MODEL_GRADS, "grad.", err));
            v->least = 0;
        }
        norms[step - 1] = (float)optim_step(v->model, &options, 1e-3, step, NULL);
    }
    TRY(compare_tensor(v, "train.losses", losses, 3, err));
    TRY(compare_tensor(v, "train.grad_norms", norms, 3, err));
    return compare_block(v, MODEL_WEIGHTS, "after3.", err);
}

static enum status open_all(struct verify *v, const char *dir, const char *expected,
                            const char *backend, int threads, struct error *err)
{
    TRY(weights_open(&v->weights, dir, err));
    const struct shape *shape = &v->weights->shape;
    TRY(safetensors_open(&v->expected, expected, err));
    TRY(read_batch(v, shape, err));
    TRY(backend_open(&v->be, backend, threads, err));
    struct model_options options = { .batch_size = v->batch.batch, .sequence_length = v->batch.time, .train = true };
    TRY(model_open(&v->model, v->be, shape, shape, &options, err));
    return load_weights(v, err);
}

static void close_all(struct verify *v)
{
    model_close(v->model);
    backend_close(v->be);
    weights_close(v->weights);
    if (v->expected) safetensors_close(v->expected);
    free(v->ids);
    free(v->targets);
}

static enum status verify(struct verify *v, const char *dir, const char *expected,
                          const char *backend, int threads, struct error *err)
{
    TRY(open_all(v, dir, expected, backend, threads, err));
    emit_begin(v->emit, '{');
    emit_kv_string(v->emit, "backend", backend);
    emit_key(v->emit, "errors");
    emit_begin(v->emit, '{');
    TRY(verify_forward(v, err));
    TRY(verify_training(v, err));
    emit_end(v->emit);
    emit_kv_double(v->emit, "worst", v->worst);
    emit_kv_double(v->emit, "tolerance", TOLERANCE);
    emit_kv_bool(v->emit, "ok", v->worst <= TOLERANCE);
    emit_end(v->emit);
    return OK;
}

static const char usage[] = "usage: lathe-train verify --model DIR --expected FILE [--backend "
                            "ref|cpu|cuda] [--threads N]\n";

int verify_main(int argc, char **argv)
{
    static const struct option options[] = {
        { "model", required_argument, NULL, 'm' },   { "expected", required_argument, NULL, 'e' },
        { "backend", required_argument, NULL, 'b' }, { "threads", required_argument, NULL, 't' },
        { "help", no_argument, NULL, 'h' },          { 0 }
    };
    const char *model = NULL, *expected = NULL, *backend = "cpu";
    int threads = 2;
    optind = 0; /* start over: a program may run several subcommands */
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'm')
            model = optarg;
        else if (c == 'e')
            expected = optarg;
        else if (c == 'b')
            backend = optarg;
        else if (c == 't')
            threads = atoi(optarg);
        else
            return fputs(usage, c == 'h' ? stdout : stderr), c == 'h' ? 0 : 2;
    }
    if (!model || !expected) return fputs(usage, stderr), 2;
    struct buf out;
    struct emit emit;
    struct error err = { 0 };
    buf_init(&out, 64 << 20);
    emit_init(&emit, &out);
    struct verify v = { .emit = &emit };
    enum status status = verify(&v, model, expected, backend, threads, &err);
    close_all(&v);
    if (status)
        fprintf(stderr, "lathe-train verify: %s\n", err.text);
    else
        printf("%s\n", out.bytes);
    buf_release(&out);
    return status ? status_exit_code(status) : v.worst <= TOLERANCE ? 0 : 1;
}
