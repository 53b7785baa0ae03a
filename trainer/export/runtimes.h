#ifndef TRAINER_EXPORT_RUNTIMES_H
#define TRAINER_EXPORT_RUNTIMES_H

#include "trainer/export/export.h"

/*
 * Which runtimes load an export, and why not the others. What is known from their source and
 * from the loaders that tests/e2e/export_loaders.py runs; a claim about one that could not be
 * run here says so ("by its source").
 */

/* An array of {"runtime", "loads", "why"}. */
void runtimes_emit(const struct export_spec *spec, const struct export_result *result,
                   struct emit *e);

#endif
