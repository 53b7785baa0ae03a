/* A task's file in the form that its first byte names, and what is asked of a model by it. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "trainer/evaluate/requests.h"

static void make_requests(const struct eval_items *items)
{
    struct error err = { 0 };
    struct tokenizer *t;
    struct eval_encoding encoding;
    struct eval_requests r;
    tokenizer_bytes(&t);
    eval_encoding_init(&encoding, t, "/nowhere", 40, TOKENIZER_BYTES_VOCAB);
    if (eval_requests_make(&r, items, &encoding, &err)) FUZZ_CHECK(err.text[0]);
    for (int i = 0; i < r.n && !err.status; i++) {
        const struct eval_request *q = &r.request[i];
        FUZZ_CHECK(q->n >= 1 && q->n_context >= 1 && q->n + q->n_context <= 41);
        FUZZ_CHECK(q->at + (size_t)q->n_context + (size_t)q->n <= r.ids.n);
    }
    eval_requests_release(&r);
    tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[1][PATH_ROOM];
    struct error err = { 0 };
    struct eval_items items;
    if (!size) return 0;
    int fd = memfd_create("task", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t)size - 1);
    snprintf(path[0], sizeof path[0], "/proc/self/fd/%d", fd);
    struct evaluate_task task = { .form = (enum evaluate_form)(data[0] % FORM_LATENCY),
                                  .n_files = 1,
                                  .file = path };
    if (eval_items_read(&items, &task, &err))
        FUZZ_CHECK(err.text[0]);
    else
        make_requests(&items);
    eval_items_release(&items);
    close(fd);
    return 0;
}
