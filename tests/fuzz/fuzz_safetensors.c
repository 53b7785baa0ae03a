#include "tests/fuzz/fuzz.h"
#include "trainer/formats/safetensors.h"

static void read_all(struct safetensors *st)
{
    for (int i = 0; i < safetensors_count(st); i++) {
        const struct tensor *t = safetensors_at(st, i);
        struct error err = { 0 };
        FUZZ_CHECK(safetensors_find(st, t->name) == t);
        FUZZ_CHECK((size_t)tensor_count(t) * tensor_type_bytes(t->type) == t->n_bytes);
        float *out = malloc(((size_t)tensor_count(t) + 1) * sizeof *out);
        tensor_floats(t, out, &err);
        tensor_expect(t, 2, 3, &err);
        free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors *st;
    struct error err = { 0 };
    if (safetensors_parse(&st, data, size, "m", &err)) {
        FUZZ_CHECK(err.text[0]);
        return 0;
    }
    read_all(st);
    safetensors_metadata(st, "format");
    safetensors_close(st);
    return 0;
}
