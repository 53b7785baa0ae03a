#ifndef TRAINER_BENCH_H
#define TRAINER_BENCH_H

/*
 * lathe-train bench --model DIR | --shape FILE --batch B --seq T [--backend B] [--threads N]
 *                   [--steps N] [--saliency] [--recompute] [--removals N] [--profile]
 *
 * Times training steps on random tokens and prints one JSON object: tokens per second
 * and milliseconds per step (medians), the gradient's and the optimizer's part,
 * floating-point operations per token, bytes held, and the GEMM-only floor of the same
 * shapes (floor.h), a run of it after every step so that both see the same machine.
 * With --saliency every other step takes saliency and its share is printed; with
 * --removals what taking units out costs (bench_removals.h), with --profile where the time of
 * as many further steps goes (bench_profile.h).
 */
int bench_main(int argc, char **argv);

#endif
