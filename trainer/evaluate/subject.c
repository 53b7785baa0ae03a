#include "trainer/evaluate/subject.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "trainer/model_folder.h"

/* ---- what exactly was asked ------------------------------------------------------------------------ */

static int is_weights(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');
    return dot && (!strcmp(dot, ".safetensors") || !strcmp(d->d_name, "config.json"));
}

/* The digest of a folder: that of the names and digests of its weights and configuration. */
static enum status digest_folder(const char *dir, char out[HASH_HEX], struct error *err)
{
    struct dirent **list = NULL;
    struct hash *hash = hash_new();
    int n = scandir(dir, &list, is_weights, alphasort);
    if (n < 0) fail_path(err, "list", dir);
    for (int i = 0; i < n; i++) {
        char path[PATH_ROOM], digest[HASH_HEX];
        uint64_t size;
        if (!err->status && !path_join(path, dir, list[i]->d_name, err) &&
            !file_digest(path, &size, digest, err)) {
            hash_add(hash, list[i]->d_name, strlen(list[i]->d_name) + 1);
            hash_add(hash, digest, HASH_HEX);
        }
        free(list[i]);
    }
    free(list);
    hash_end(hash, out);
    return err->status;
}

static enum status digest_model(const char *path, char out[HASH_HEX], struct error *err)
{
    struct stat st;
    uint64_t size;
    if (stat(path, &st)) return fail_path(err, "open", path);
    return S_ISDIR(st.st_mode) ? digest_folder(path, out, err)
                               : file_digest(path, &size, out, err);
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum status open_weights(struct subject *s, struct error *err)
{
    const char *path = s->job->model.path;
    if (s->job->model.has_shape) {
        s->shape = s->job->model.shape;
        return OK;
    }
    TRY(weights_open(&s->weights, path, err));
    s->shape = s->weights->shape;
    return digest_model(path, s->about.model_sha256, err);
}

static enum status open_tokenizer(struct subject *s, struct error *err)
{
    const char *asked = s->job->evaluate->tokenizer;
    const char *path = *asked ? asked : s->job->model.path;
    if (job_evaluate_is_latency(s->job->evaluate)) return OK;
    if (tokenizer_open(&s->tokenizer, path, err))
        return *asked ? fail_in(err, "tokenizer")
                      : fail_in(err, "tokenizer: name one, for the model brings none that can be "
                                     "read");
    if (s->tokenizer->vocab_size > s->shape.vocab_size)
        return fail(err, E_INPUT, "tokenizer: has %d tokens, the model's vocabulary %d",
                    s->tokenizer->vocab_size, s->shape.vocab_size);
    memcpy(s->about.tokenizer_sha256, s->tokenizer->hash, HASH_HEX);
    return OK;
}

static int context_of(const struct subject *s)
{
    int asked = s->job->evaluate->context, most = s->weights ? s->weights->max_position : 0;
    return most > 0 && most < asked ? most : asked;
}

enum status subject_open(struct subject *s, const struct job *job, struct error *err)
{
    *s = (struct subject){ .job = job };
    if (open_weights(s, err)) return fail_in(err, "model");
    TRY(open_tokenizer(s, err));
    int context = context_of(s);
    if (s->tokenizer) {
        const char *asked = job->evaluate->tokenizer;
        eval_encoding_init(&s->encoding, s->tokenizer, *asked ? asked : job->model.path, context,
                           s->shape.vocab_size);
    }
    s->about.model = job->model.has_shape ? "shape" : job->model.path;
    s->about.name = *job->name ? job->name : s->about.model;
    s->about.backend = job->backend;
    s->about.params = shape_params(&s->shape);
    s->about.context = context;
    s->about.batch_tokens = job->evaluate->batch_tokens;
    s->about.seed = job->seed;
    return backend_open(&s->be, job->backend, job->threads, err);
}

static void close_model(struct subject *s)
{
    packed_close(s->packed);
    model_close(s->model);
    s->packed = NULL, s->model = NULL;
}

void subject_close(struct subject *s)
{
    close_model(s);
    backend_close(s->be);
    tokenizer_close(s->tokenizer);
    weights_close(s->weights);
}

enum status subject_run_at(struct subject *s, int rows, int kept, int positions, struct error *err)
{
    struct model_options options = { .batch_size = 1, .sequence_length = rows };
    if (s->model && s->rows == rows && s->kept == kept) return OK;
    close_model(s);
    s->rows = rows, s->kept = kept;
    TRY(model_open(&s->model, s->be, &s->shape, &s->shape, &options, err));
    if (!s->weights)
        model_init(s->model, s->job->seed);
    else if (model_folder_read(s->model, s->weights, err))
        return fail_in(err, "model");
    return packed_open(&s->packed, s->model, positions, kept, err);
}
