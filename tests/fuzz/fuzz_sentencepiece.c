#include "tests/fuzz/use_bpe.h"
#include "trainer/data/bpe_sentencepiece.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bpe bpe;
    struct error err = { 0 };
    if (bpe_sentencepiece_parse(&bpe, size ? (const char *)data : "", size, &err)) {
        FUZZ_CHECK(err.text[0]);
        return 0;
    }
    use_bpe(&bpe);
    bpe_release(&bpe);
    return 0;
}
