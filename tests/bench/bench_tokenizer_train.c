/*
 * Trains a byte-pair encoding and says how long it took.
 *
 *     bench_tokenizer_train VOCAB_SIZE gpt2|smollm|qwen2|llama3 OUT.json < texts.jsonl
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "trainer/data/bpe_train.h"
#include "trainer/data/bpe_write.h"
#include "trainer/formats/file.h"

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum bpe_family family_named(const char *name)
{
    int i = 0;
    while (bpe_family_names[i + 1] && strcmp(bpe_family_names[i], name)) i++;
    return (enum bpe_family)i;
}

static enum status add_all(struct bpe_trainer *t, struct error *err)
{
    char *line = NULL;
    size_t room = 0;
    while (!err->status && getline(&line, &room, stdin) > 0) {
        json_t *json = json_loads(line, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        json_t *text = json_is_object(json) ? json_object_get(json, "text") : json;
        bpe_trainer_add(t, json_string_value(text), json_string_length(text), err);
        json_decref(json);
    }
    free(line);
    return err->status;
}

int main(int argc, char **argv)
{
    struct error err = { 0 };
    struct bpe_trainer *t = NULL;
    struct rusage usage;
    struct buf json;
    int vocab_size = 0;
    if (argc != 4) {
        fputs("usage: bench_tokenizer_train VOCAB_SIZE FAMILY OUT.json < texts.jsonl\n", stderr);
        return 2;
    }
    struct bpe_train_options options = { .vocab_size = atoi(argv[1]),
                                         .family = family_named(argv[2]) };
    double start = now_s(), counted = start;
    buf_init(&json, BPE_WRITE_MAX);
    if (!bpe_trainer_open(&t, &options, &err) && !add_all(t, &err)) {
        counted = now_s();
        if (!bpe_trainer_finish(t, &json, &vocab_size, &err))
            file_write(argv[3], json.bytes, json.len, &err);
    }
    getrusage(RUSAGE_SELF, &usage);
    if (err.status)
        fprintf(stderr, "%s\n", err.text);
    else
        printf("{\"vocab_size\": %d, \"count_seconds\": %.2f, \"join_seconds\": %.2f, "
               "\"peak_mib\": %ld}\n",
               vocab_size, counted - start, now_s() - counted, usage.ru_maxrss / 1024);
    bpe_trainer_close(t);
    buf_release(&json);
    return status_exit_code(err.status);
}
