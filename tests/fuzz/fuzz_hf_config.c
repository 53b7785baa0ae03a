#include "tests/fuzz/fuzz.h"
#include "search/hf_config.h"

/* What reads must be possible, and must read the same after it was written. */
static void round_trip(const struct shape *shape)
{
    struct hf_config_extra extra = { 8, -1, -1 };
    struct shape again;
    struct buf json;
    struct emit e;
    struct error err = { 0 };
    buf_init(&json, HF_CONFIG_MAX_BYTES);
    emit_init(&e, &json);
    hf_config_emit(shape, &extra, &e);
    FUZZ_CHECK(!hf_config_parse(&again, &extra, json.bytes, json.len, &err));
    FUZZ_CHECK(shape_equal(shape, &again));
    buf_release(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shape shape;
    struct error err = { 0 };
    if (hf_config_parse(&shape, NULL, (const char *)data, size, &err))
        FUZZ_CHECK(err.text[0]);
    else
        round_trip(&shape);
    return 0;
}
