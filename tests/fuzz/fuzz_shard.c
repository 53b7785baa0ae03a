/* The first byte chooses what the rest is: a shard of some format, documents, a dataset.json. */
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
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

static int hold(const uint8_t *data, size_t size)
{
    int fd = memfd_create("shard", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    return fd;
}

static char folder[] = "/tmp/lathe-fuzz-shard-XXXXXX", ids[64], index_of_ids[64];

static void remove_folder(void)
{
    unlink(ids);
    unlink(index_of_ids);
    rmdir(folder);
}

static void name_it(int fd, const char *path)
{
    char target[64];
    snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
    unlink(path);
    FUZZ_CHECK(!symlink(target, path));
}

/* Two files by their names: the first byte says how long the index is, then the ids. */
static void read_megatron(const uint8_t *data, size_t size)
{
    if (!size || data[0] >= size) return;
    if (!*ids) {
        FUZZ_CHECK(mkdtemp(folder) && !atexit(remove_folder));
        snprintf(ids, sizeof ids, "%s/m.bin", folder);
        snprintf(index_of_ids, sizeof index_of_ids, "%s/m.idx", folder);
    }
    int idx = hold(data + 1, data[0]), bin = hold(data + 1 + data[0], size - 1 - data[0]);
    name_it(idx, index_of_ids);
    name_it(bin, ids);
    read_documents(ids, DOCUMENT_MEGATRON);
    close(idx);
    close(bin);
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
    if (data[0] % 6 == DOCUMENT_MEGATRON) {
        read_megatron(data + 1, size - 1);
        return 0;
    }
    int fd = hold(data + 1, size - 1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    read_documents(path, (enum document_format)(data[0] % 6));
    close(fd);
    return 0;
}
