#include <string.h>
#include "tests/fuzz/fuzz.h"
#include "trainer/data/bpe_json.h"
#include "trainer/data/bpe_write.h"

static const char text[] =
    "It's 12 caf\xc3\xa9s,  na\xc3\xafve\n\n <|x|> \xe6\x97\xa5 e\xcc\x81\xff <s>ab abab";

static void use(const struct bpe *bpe, struct ids *ids)
{
    struct error err = { 0 };
    struct bpe_encoder e;
    struct buf out;
    bpe_encoder_init(&e, bpe);
    if (bpe_encode(&e, text, sizeof text - 1, ids, &err)) FUZZ_CHECK(err.text[0]);
    bpe_encoder_release(&e);
    err = (struct error){ 0 };
    buf_init(&out, 1 << 24);
    FUZZ_CHECK(bpe_decode(bpe, ids->id, ids->n, false, &out, &err) == OK || out.failed);
    buf_release(&out);
}

/* What is written must read back, or be refused in words. */
static void write_and_read(const struct bpe *bpe)
{
    struct error err = { 0 };
    struct bpe again;
    struct ids second = { 0 };
    struct buf json;
    buf_init(&json, BPE_WRITE_MAX);
    if (bpe_write(bpe, &json, &err) || bpe_json_parse(&again, json.bytes, json.len, &err)) {
        FUZZ_CHECK(err.text[0]);
    } else {
        use(&again, &second);
        bpe_release(&again);
    }
    ids_release(&second);
    buf_release(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bpe bpe;
    struct error err = { 0 };
    struct ids ids = { 0 };
    if (bpe_json_parse(&bpe, size ? (const char *)data : "", size, &err)) {
        FUZZ_CHECK(err.text[0]);
        return 0;
    }
    use(&bpe, &ids);
    write_and_read(&bpe);
    ids_release(&ids);
    bpe_release(&bpe);
    return 0;
}
