#include "tests/fuzz/fuzz.h"
#include "trainer/data/bpe_gguf.h"
#include "trainer/data/bpe_write.h"
#include "trainer/formats/gguf_shape.h"

enum { DECODED_MAX = 4096 }; /* elements of a tensor that are looked at */

static void read_keys(const struct gguf *g)
{
    int n;
    const struct gguf_key *keys = gguf_keys(g, &n);
    for (int i = 0; i < n; i++) {
        const unsigned char *at = keys[i].bytes;
        for (size_t k = 0; k < keys[i].n; k++) {
            if (keys[i].type == GGUF_STRING)
                gguf_next_string(&at);
            else
                gguf_double_at(&keys[i], k);
        }
    }
}

static void read_tensors(const struct gguf *g)
{
    static float out[DECODED_MAX];
    for (int i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        size_t n = t->n_bytes / (size_t)t->type->bytes * (size_t)t->type->block;
        quant_decode(t->type, t->bytes, n < DECODED_MAX ? n : DECODED_MAX, out);
    }
}

static void read_tokenizer(const struct gguf *g)
{
    struct bpe bpe;
    struct error err = { 0 };
    struct bpe_encoder e;
    struct ids ids = { 0 };
    if (bpe_gguf_read(&bpe, g, &err)) {
        FUZZ_CHECK(err.text[0]);
        return;
    }
    bpe_encoder_init(&e, &bpe);
    bpe_encode(&e, "ab \xc3\xa9 12<s>\xff", 12, &ids, &err);
    bpe_encoder_release(&e);
    ids_release(&ids);
    bpe_release(&bpe);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf *g;
    struct shape shape;
    struct error err = { 0 }, why = { 0 };
    int max_position;
    if (gguf_parse(&g, data, size, &err)) {
        FUZZ_CHECK(err.text[0]);
        return 0;
    }
    read_keys(g);
    read_tensors(g);
    if (gguf_shape(g, &shape, &max_position, &why)) FUZZ_CHECK(why.text[0]);
    read_tokenizer(g);
    gguf_close(g);
    return 0;
}
