#include "trainer/bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/base/clock.h"
#include "search/base/emit.h"
#include "search/base/rng.h"
#include "search/base/sample.h"
#include "search/cost.h"
#include "trainer/bench_profile.h"
#include "trainer/bench_removals.h"
#include "trainer/floor.h"
#include "trainer/formats/file.h"
#include "trainer/formats/weights.h"
#include "trainer/optim.h"

enum { MAX_STEPS = 10000, FEW = 3, MAX_SHAPE_BYTES = 1 << 20 };

static const double H100_FLOPS = 989e12; /* dense bf16, for the GPU's share of its peak */

struct bench {
    const char *model_dir, *shape_file, *backend;
    int batch, seq, threads, steps, removals;
    bool saliency, recompute, profile;
    struct shape shape;
    struct backend *be;
    struct model *model;
    struct saliency *sums;
    struct scores scores;
    int32_t *ids;
    /* seconds: whole plain steps, their gradients, steps with saliency, floors */
    double *plain, *gradient, *with_sums, *floor;
    int n_plain, n_gradient, n_sums, n_floor;
};

static enum status read_shape(struct bench *b, struct error *err)
{
    if (b->model_dir) {
        struct weights *weights;
        TRY(weights_open(&weights, b->model_dir, err));
        b->shape = weights->shape;
        weights_close(weights);
        return OK;
    }
    char *text;
    size_t len;
    TRY(file_read(&text, &len, b->shape_file, MAX_SHAPE_BYTES, err));
    enum status status = shape_parse(&b->shape, text, len, err);
    free(text);
    return status ? fail_in(err, "%s", b->shape_file) : OK;
}

static double *room(int n)
{
    double *seconds = calloc((size_t)n, sizeof *seconds);
    if (!seconds) abort();
    return seconds;
}

static enum status open_all(struct bench *b, struct error *err)
{
    struct model_options options = { .batch_size = b->batch,
                                     .sequence_length = b->seq,
                                     .train = true,
                                     .recompute = b->recompute,
                                     .lend_gradients = true };
    struct rng rng;
    TRY(read_shape(b, err));
    TRY(backend_open(&b->be, b->backend, b->threads, err));
    TRY(model_open(&b->model, b->be, &b->shape, &b->shape, &options, err));
    TRY(saliency_open(&b->sums, b->model, HEAD_UNIT_KV_GROUP, err));
    scores_init(&b->scores, &b->shape, HEAD_UNIT_KV_GROUP);
    model_init(b->model, 1);
    size_t n = (size_t)b->batch * (size_t)b->seq + 1;
    b->ids = calloc(n, sizeof *b->ids);
    if (!b->ids) abort();
    rng_init(&rng, 1);
    for (size_t i = 0; i < n; i++)
        b->ids[i] = (int32_t)rng_below(&rng, (uint64_t)b->shape.vocab_size);
    b->plain = room(b->steps), b->gradient = room(FEW);
    b->with_sums = room(b->steps), b->floor = room(b->steps);
    return OK;
}

static void close_all(struct bench *b)
{
    saliency_close(b->sums);
    scores_release(&b->scores);
    model_close(b->model);
    backend_close(b->be);
    free(b->ids);
    free(b->plain), free(b->gradient), free(b->with_sums), free(b->floor);
}

static double time_gradient(struct bench *b)
{
    struct model_batch batch = { b->ids, b->ids + 1, b->batch, b->seq };
    double start = clock_seconds();
    model_gradient(b->model, &batch, 1.0 / (b->batch * b->seq), false);
    return clock_seconds() - start;
}

/* One step as a training takes it: nobody waits in the middle. */
static double time_step(struct bench *b, int64_t step, bool sums)
{
    static const struct optim_options options = {
        .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1, .clip_norm = 1
    };
    struct model_batch batch = { b->ids, b->ids + 1, b->batch, b->seq };
    double start = clock_seconds();
    model_gradient_begin(b->model, &batch, 1.0 / (b->batch * b->seq), false);
    optim_begin(b->model, &options, 1e-4, step, sums ? b->sums : NULL);
    model_total(b->model, MODEL_LOSS);
    if (sums) saliency_collect(b->sums, &b->scores);
    b->be->finish(b->be);
    return clock_seconds() - start;
}

static void run(struct bench *b)
{
    time_step(b, 1, false); /* warms caches and pages */
    for (int i = 0; i < b->steps; i++) {
        bool sums = b->saliency && i % 2;
        double seconds = time_step(b, i + 2, sums);
        if (sums)
            b->with_sums[b->n_sums++] = seconds;
        else
            b->plain[b->n_plain++] = seconds;
        if (b->n_gradient < FEW) b->gradient[b->n_gradient++] = time_gradient(b);
        if (!floor_exists(b->model)) continue;
        double start = clock_seconds();
        floor_step(b->model);
        b->floor[b->n_floor++] = clock_seconds() - start;
    }
    if (!b->profile) return;
    profile_begin(b->be);
    for (int i = 0; i < b->steps; i++) time_step(b, b->steps + i + 2, false);
    profile_end(b->be);
}

static void report_floor(struct bench *b, double step, struct emit *e)
{
    double seconds = sample_median(b->floor, b->n_floor);
    emit_key(e, "gemm_floor");
    emit_begin(e, '{');
    emit_kv_double(e, "ms", 1e3 * seconds);
    emit_kv_double(e, "tokens_per_second", b->batch * b->seq / seconds);
    emit_kv_double(e, "gflops", floor_flops(b->model) / seconds / 1e9);
    emit_kv_double(e, "step_over_floor", step / seconds);
    emit_end(e);
}

static void report_bytes(const struct model_bytes *bytes, struct emit *e)
{
    emit_key(e, "bytes");
    emit_begin(e, '{');
    emit_kv_int(e, "weights", (int64_t)bytes->weights);
    emit_kv_int(e, "gradients", (int64_t)bytes->grads);
    emit_kv_int(e, "moments", (int64_t)bytes->moments);
    emit_kv_int(e, "activations", (int64_t)bytes->activations);
    emit_kv_int(e, "total", (int64_t)bytes->total);
    emit_end(e);
}

static enum status report(struct bench *b, struct emit *e, struct error *err)
{
    double step = sample_median(b->plain, b->n_plain),
           gradient = sample_median(b->gradient, b->n_gradient);
    double flops = (double)cost_of(&b->shape, b->seq).flops_per_token;
    double tokens_per_second = b->batch * b->seq / step;
    emit_begin(e, '{');
    emit_kv_string(e, "backend", b->be->name);
    emit_kv_int(e, "threads", b->be->threads);
    emit_kv_int(e, "params", shape_params(&b->shape));
    emit_kv_int(e, "batch", b->batch);
    emit_kv_int(e, "sequence", b->seq);
    emit_kv_int(e, "steps", b->n_plain);
    emit_kv_double(e, "tokens_per_second", tokens_per_second);
    emit_kv_double(e, "step_ms", 1e3 * step);
    emit_kv_double(e, "gradient_ms", 1e3 * gradient);
    emit_kv_double(e, "optimizer_ms", 1e3 * (step - gradient));
    emit_kv_double(e, "flops_per_token", flops);
    report_bytes(&b->model->bytes, e);
    if (b->n_floor) report_floor(b, step, e);
    if (b->n_sums)
        emit_kv_double(e, "saliency_share", sample_median(b->with_sums, b->n_sums) / step - 1);
    if (!strncmp(b->be->name, "cuda", 4))
        emit_kv_double(e, "mfu", flops * tokens_per_second / H100_FLOPS);
    if (b->profile) profile_report(b->steps, e);
    if (b->removals) TRY(bench_removals(b->model, b->removals, 1e3 * step, e, err));
    emit_end(e);
    return OK;
}

static const char usage[] =
    "usage: lathe-train bench --model DIR | --shape FILE --batch B --seq T [--backend "
    "ref|cpu|cuda]\n"
    "                         [--threads N] [--steps N] [--saliency] [--recompute]\n"
    "                         [--precision float32|bf16|bf16x3] [--removals N] [--profile]\n";

static const char help[] =
    "\n"
    "Times training steps on random tokens and prints one JSON object: tokens per second and\n"
    "milliseconds of a step (medians), beside them the floor: its matrix products alone.\n"
    "\n"
    "  --model DIR       a Hugging Face folder\n"
    "  --shape FILE      or a lathe.shape/1, with random weights\n"
    "  --batch B --seq T sequences of a step, tokens of each\n"
    "  --backend B       cpu (the default), cpu-blas, ref, cuda, cuda-f32 or cuda-exact\n"
    "  --precision P     on the cpu: float32 (the default), bf16 or bf16x3\n"
    "  --threads N       2; as many as there are cores to use\n"
    "  --steps N         7\n"
    "  --saliency        every other step takes saliency; says what share of a step that is\n"
    "  --recompute       layers are computed again in the backward pass, to hold less memory\n"
    "  --removals N      what taking out a unit of each type costs, N times\n"
    "  --profile         where the time of as many further steps goes, by operation and size\n"
    "\n"
    "  lathe-train bench --shape shape.json --batch 8 --seq 256 --saliency\n";

/* False where they make no sense; *asked: only for help. */
static bool read_options(struct bench *b, int argc, char **argv, bool *asked)
{
    static const struct option options[] = { { "model", required_argument, NULL, 'm' },
                                             { "shape", required_argument, NULL, 's' },
                                             { "precision", required_argument, NULL, 'p' },
                                             { "batch", required_argument, NULL, 'B' },
                                             { "seq", required_argument, NULL, 'T' },
                                             { "backend", required_argument, NULL, 'b' },
                                             { "threads", required_argument, NULL, 't' },
                                             { "steps", required_argument, NULL, 'n' },
                                             { "saliency", no_argument, NULL, 'g' },
                                             { "recompute", no_argument, NULL, 'r' },
                                             { "removals", required_argument, NULL, 'R' },
                                             { "profile", no_argument, NULL, 'P' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    optind = 0;
    const char *precision = NULL;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (c) {
        case 'm': b->model_dir = optarg; break;
        case 's': b->shape_file = optarg; break;
        case 'B': b->batch = atoi(optarg); break;
        case 'T': b->seq = atoi(optarg); break;
        case 'b': b->backend = optarg; break;
        case 't': b->threads = atoi(optarg); break;
        case 'n': b->steps = atoi(optarg); break;
        case 'g': b->saliency = true; break;
        case 'r': b->recompute = true; break;
        case 'p': precision = optarg; break;
        case 'P': b->profile = true; break;
        case 'R': b->removals = atoi(optarg); break;
        case 'h': return *asked = true;
        default: return false;
        }
    bool cpu = precision && !strcmp(b->backend, "cpu");
    if (cpu && !strcmp(precision, "bf16"))
        b->backend = "cpu-bf16";
    else if (cpu && !strcmp(precision, "bf16x3"))
        b->backend = "cpu-bf16x3";
    else if (precision && strcmp(precision, "float32"))
        return false;
    return !b->model_dir != !b->shape_file && b->steps >= 1 && b->steps <= MAX_STEPS &&
           b->removals >= 0 && b->removals <= MAX_STEPS;
}

int bench_main(int argc, char **argv)
{
    struct bench b = { .backend = "cpu", .batch = 1, .seq = 512, .threads = 2, .steps = 7 };
    struct error err = { 0 };
    struct buf out;
    struct emit emit;
    bool asked = false;
    if (!read_options(&b, argc, argv, &asked)) return fputs(usage, stderr), 2;
    if (asked) return printf("%s%s", usage, help) < 0;
    buf_init(&out, 1 << 20);
    emit_init(&emit, &out);
    if (!open_all(&b, &err)) {
        run(&b);
        if (!report(&b, &emit, &err)) printf("%s\n", out.bytes);
    }
    close_all(&b);
    buf_release(&out);
    if (err.status) fprintf(stderr, "lathe-train bench: %s\n", err.text);
    return status_exit_code(err.status);
}
