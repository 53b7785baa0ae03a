/*
 * The logits of a model on token ids, for scripts that compare runtimes.
 *
 *     logits MODEL backend < ids      ids separated by white space; writes float32 (n, vocabulary)
 */
#include <stdio.h>
#include <stdlib.h>

#include "trainer/backend.h"
#include "trainer/model_folder.h"

enum { MAX_IDS = 4096 };

static enum status run(struct weights *w, struct backend *be, int32_t *ids, int n,
                       struct error *err)
{
    int32_t targets[MAX_IDS];
    struct model *model = NULL;
    struct model_options options = { .batch_size = 1, .sequence_length = n };
    size_t count = (size_t)n * (size_t)w->shape.vocab_size;
    for (int i = 0; i < n; i++) targets[i] = -1;
    float *out = malloc(count * sizeof *out);
    if (!out) abort();
    if (!model_open(&model, be, &w->shape, &w->shape, &options, err) &&
        !model_folder_read(model, w, err)) {
        struct model_batch batch = { ids, targets, 1, n };
        model_logits(model, &batch, out);
        fwrite(out, sizeof *out, count, stdout);
    }
    model_close(model);
    free(out);
    return err->status;
}

int main(int argc, char **argv)
{
    struct error err = { 0 };
    struct weights *w = NULL;
    struct backend *be = NULL;
    int32_t ids[MAX_IDS];
    int n = 0;
    while (n < MAX_IDS && scanf("%d", &ids[n]) == 1) n++;
    if (argc != 3 || !n) {
        fputs("usage: logits MODEL BACKEND < ids\n", stderr);
        return 2;
    }
    if (!weights_open(&w, argv[1], &err) && !backend_open(&be, argv[2], 1, &err))
        run(w, be, ids, n, &err);
    if (err.status) fprintf(stderr, "%s\n", err.text);
    backend_close(be);
    weights_close(w);
    return status_exit_code(err.status);
}
