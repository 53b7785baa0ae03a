#include "trainer/data/tokenizer.h"

enum status tokenizer_bpe(struct tokenizer **out, const char *json, size_t len, struct error *err)
{
    (void)json, (void)len;
    *out = NULL;
    return fail(err, E_INPUT, "only the byte tokenizer can be read by this build");
}
