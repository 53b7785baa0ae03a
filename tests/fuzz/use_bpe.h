#ifndef TESTS_FUZZ_USE_BPE_H
#define TESTS_FUZZ_USE_BPE_H

/* What is done with an encoding that could be read: encoded and decoded with, written and read
 * again. What was written must give the same ids, or have been refused in words. */
#include <string.h>
#include "tests/fuzz/fuzz.h"
#include "trainer/data/bpe_json.h"
#include "trainer/data/bpe_write.h"

static const char use_bpe_text[] =
    "It's 12 caf\xc3\xa9s,  na\xc3\xafve\n\n <|x|> \xe6\x97\xa5 e\xcc\x81\xff <s>ab abab";

static enum status use_bpe_encode(const struct bpe *bpe, struct ids *ids)
{
    struct error err = { 0 };
    struct bpe_encoder e;
    bpe_encoder_init(&e, bpe);
    if (bpe_encode(&e, use_bpe_text, sizeof use_bpe_text - 1, ids, &err)) FUZZ_CHECK(err.text[0]);
    bpe_encoder_release(&e);
    return err.status;
}

static void use_bpe_decode(const struct bpe *bpe, const struct ids *ids)
{
    struct error err = { 0 };
    struct buf out;
    buf_init(&out, 1 << 24);
    FUZZ_CHECK(bpe_decode(bpe, ids->id, ids->n, false, &out, &err) == OK || out.failed);
    buf_release(&out);
}

static void use_bpe_again(const struct buf *json, const struct ids *ids, enum status status)
{
    struct error err = { 0 };
    struct bpe again;
    struct ids second = { 0 };
    if (bpe_json_parse(&again, json->bytes, json->len, &err)) {
        FUZZ_CHECK(err.text[0]);
        return;
    }
    FUZZ_CHECK(use_bpe_encode(&again, &second) == status && second.n == ids->n);
    FUZZ_CHECK(!ids->n || !memcmp(second.id, ids->id, ids->n * sizeof *ids->id));
    ids_release(&second);
    bpe_release(&again);
}

static void use_bpe(const struct bpe *bpe)
{
    struct error err = { 0 };
    struct ids ids = { 0 };
    struct buf json;
    enum status status = use_bpe_encode(bpe, &ids);
    use_bpe_decode(bpe, &ids);
    buf_init(&json, BPE_WRITE_MAX);
    if (bpe_write(bpe, &json, &err))
        FUZZ_CHECK(err.text[0]);
    else
        use_bpe_again(&json, &ids, status);
    buf_release(&json);
    ids_release(&ids);
}

#endif
