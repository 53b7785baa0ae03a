/*
 * How fast a tokenizer.json encodes, and what it says.
 *
 *     bench_tokenizer TOKENIZER < texts.jsonl          one JSON line: MB/s, tokens, peak memory
 *     bench_tokenizer TOKENIZER --ids < texts.jsonl    the ids of each text, a line each
 *
 * A line is an object with a member "text", or a JSON string.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "trainer/data/tokenizer.h"

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print_ids(const struct ids *ids)
{
    for (size_t i = 0; i < ids->n; i++) printf("%s%d", i ? " " : "", ids->id[i]);
    putchar('\n');
}

int main(int argc, char **argv)
{
    struct error err = { 0 };
    struct tokenizer *t;
    if (argc < 2 || tokenizer_open(&t, argv[1], &err)) {
        fprintf(stderr, "%s\n",
                argc < 2 ? "usage: bench_tokenizer TOKENIZER [--ids] < texts.jsonl" : err.text);
        return 2;
    }
    bool show = argc > 2 && !strcmp(argv[2], "--ids");
    char *line = NULL;
    size_t room = 0;
    double seconds = 0, bytes = 0, tokens = 0;
    struct ids ids = { 0 };
    while (getline(&line, &room, stdin) > 0) {
        json_t *json = json_loads(line, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        json_t *text = json_is_object(json) ? json_object_get(json, "text") : json;
        ids.n = 0;
        double start = now_s();
        if (t->encode(t, json_string_value(text), json_string_length(text), &ids, &err)) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        seconds += now_s() - start;
        bytes += (double)json_string_length(text);
        tokens += (double)ids.n;
        if (show) print_ids(&ids);
        json_decref(json);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (!show)
        printf(
            "{\"mb_per_second\": %.1f, \"megabytes\": %.1f, \"tokens\": %.0f, \"seconds\": %.2f, "
            "\"peak_mib\": %ld}\n",
            bytes / 1e6 / seconds, bytes / 1e6, tokens, seconds, usage.ru_maxrss / 1024);
    free(line);
    ids_release(&ids);
    tokenizer_close(t);
    return 0;
}
