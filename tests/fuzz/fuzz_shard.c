/* The first byte chooses what the rest is: a shard of some format, documents, a dataset.json. */
#include "tests/fuzz/fuzz.h"
#include <sys/mman.h>
#include <unistd.h>
#include "trainer/data/dataset.h"
#include "trainer/data/documents.h"

static void read_documents(const char *path, enum document_format format)
{
    struct documents *docs;
    struct document doc;
    struct error err = { 0 };
    if (documents_open(&docs, path, format, 257, 256, &err)) {
        FUZZ_CHECK(err.text[0]);
        return;
    }
    while (documents_next(docs, &doc, &err)) FUZZ_CHECK(doc.len || doc.n_ids);
    FUZZ_CHECK(documents_done(docs) <= documents_size(docs));
    documents_close(docs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct dataset ds;
    char path[64];
    if (!size) return 0;
    if (data[0] % 6 == 5) {
        dataset_parse(&ds, (const char *)data + 1, size - 1, &err);
        return 0;
    }
    int fd = memfd_create("shard", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t)(size - 1));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    read_documents(path, (enum document_format)(data[0] % 6));
    close(fd);
    return 0;
}
