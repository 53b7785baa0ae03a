/* What kinds dataset and import ask for: files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/job_read.h"

static const char *const tokenizer_kinds[] = { "bytes", "hf", "train", NULL };

static void read_file(struct job *job, struct field *array, size_t i)
{
    struct field f;
    struct build_file *file = &job->file[i];
    if (!field_item_object(array, i, &f)) return;
    job_read_text(&f, "path", file->path, sizeof file->path);
    if (job->kind == JOB_DATASET) {
        file->format = (enum document_format)field_choice_or(&f, "format", document_formats, 0);
        const char *domain = field_string_or(&f, "domain", DOMAIN_NAME - 1, "");
        snprintf(file->domain, sizeof file->domain, "%s", domain ? domain : "");
    } else {
        job_read_text(&f, "name", file->domain, sizeof file->domain);
        if (strchr(file->domain, '/') || file->domain[0] == '.')
            field_fail(&f, "name", "is not a plain file name");
    }
    field_end(&f);
}

static void read_files(struct job *job, struct field *root)
{
    struct field files;
    size_t n = field_array(root, "files", JOB_MAX_FILES, &files);
    job->file = calloc(n + 1, sizeof *job->file);
    if (!job->file) abort();
    for (size_t i = 0; i < n; i++) read_file(job, &files, i);
    job->n_files = (int)n;
}

static void read_tokenizer_training(struct bpe_train_options *o, struct field *f)
{
    o->vocab_size = (int)field_int(f, "vocab_size", BPE_TRAIN_MIN_VOCAB, BPE_TRAIN_MAX_VOCAB);
    o->family = (enum bpe_family)field_choice_or(f, "family", bpe_family_names, BPE_SMOLLM);
    o->min_count = (int)field_int_or(f, "min_count", 1, 1 << 20, 2);
}

static void read_tokenizer(struct job *job, struct field *root)
{
    struct field f;
    if (!job_open_object(root, "tokenizer", &f)) return;
    int kind = field_choice(&f, "kind", tokenizer_kinds);
    job->tokenizer_is_bytes = kind == 0;
    job->tokenizer_is_trained = kind == 2;
    if (kind == 2)
        read_tokenizer_training(&job->tokenizer_train, &f);
    else if (kind == 1)
        job_read_text(&f, "path", job->tokenizer_path, sizeof job->tokenizer_path);
    field_end(&f);
}

void job_read_dataset(struct job *job, struct field *root)
{
    read_files(job, root);
    read_tokenizer(job, root);
    job->validation_fraction = field_double_or(root, "validation_fraction", 0, 0.5, 0.05);
    if (!job->n_files) field_fail(root, "files", "names no file");
}

void job_read_import(struct job *job, struct field *root)
{
    read_files(job, root);
    if (field_has(root, "path"))
        job_read_text(root, "path", job->import_path, sizeof job->import_path);
    if ((job->n_files > 0) == (*job->import_path != 0))
        field_fail(root, "files", "either files or path must say what to import");
}
