/* The two JSON files of a checkpoint; every input is tried as both. */
#include "tests/fuzz/fuzz.h"
#include "trainer/checkpoint.h"
#include "trainer/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest manifest;
    struct checkpoint cp;
    struct error err = { 0 };
    if (manifest_parse(&manifest, (const char *)data, size, &err)) FUZZ_CHECK(err.text[0]);
    err = (struct error){ 0 };
    if (checkpoint_parse(&cp, (const char *)data, size, &err))
        FUZZ_CHECK(err.text[0]);
    else
        FUZZ_CHECK(cp.identity && cp.n_domains <= DATASET_MAX_DOMAINS);
    checkpoint_release(&cp);
    return 0;
}
