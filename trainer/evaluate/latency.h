#ifndef TRAINER_EVALUATE_LATENCY_H
#define TRAINER_EVALUATE_LATENCY_H

#include "trainer/evaluate/metrics.h"
#include "trainer/formats/weights.h"
#include "trainer/packed.h"

/*
 * How fast a shape reads (prefill) and writes (decode) on this machine, one text at a time, through
 * our own forward pass with kept keys and values, in the backend's numbers (cpu: float32). Ids are
 * random: the time does not depend on them. One round is not counted, `repeats` are.
 *
 *     prefill_tokens_per_second   prompt_tokens over the time until their keys are kept and the
 *                                 last row's logits are here
 *     time_to_first_token_ms      that time
 *     ms_per_token                mean over the generate_tokens steps of a round; each runs one token,
 *                                 brings its logits here and takes the likeliest
 *     decode_tokens_per_second    1000 / ms_per_token
 *
 * The value is the median of the repeats; _min and _max stand beside each. prompt_tokens,
 * generate_tokens, repeats and threads are repeated for whoever reads the numbers alone.
 *
 * With a llama-bench on PATH (llama.cpp) the same weights are measured by it too, as F32 GGUF where
 * that holds them: llama_bench_prefill_tokens_per_second, llama_bench_decode_tokens_per_second and
 * their _stddev.
 *
 * Into a search: measure the source, and the source with fewer units of one type in every layer
 * (a job each with "model": {"shape"}); then
 *
 *     "criterion": {"normalise": "millisecond", "latency": {"ffn": {"units": [1024, 1280, 1536],
 *                   "milliseconds": [ms_per_token of each shape]}, ...}}
 *
 * (time_to_first_token_ms instead where reading matters), or the slope of two measurements over the
 * layers, (ms of the larger - ms of the smaller) / (units between them) / layers, as
 * unit_milliseconds (search/scoring.h).
 */
struct latency_plan {
    int prompt_tokens, generate_tokens, repeats;
    uint64_t seed;
};

/* `packed` is open for prompt_tokens rows and prompt_tokens + generate_tokens kept. Stops between
 * rounds when asked to (E_CANCELLED). */
enum status latency_measure(struct eval_metrics *m, struct model *model, struct packed *packed,
                            const struct latency_plan *plan, struct error *err);

bool llama_bench_is_there(void);

/* Adds what llama-bench says; nothing, and a line in the log, when it fails or the shape is not for
 * it. `work` is an existing folder, for a file as large as the model. */
void llama_bench_measure(struct eval_metrics *m, struct weights *w, const char *work, int threads,
                         const struct latency_plan *plan);

/* `out` holds what llama-bench -o json printed. False when that is not it. */
bool llama_bench_read(struct eval_metrics *m, const char *out, size_t len);

#endif
