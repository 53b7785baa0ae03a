#include "trainer/formats/weights.h"

enum status weights_open_gguf(struct weights **out, const char *path, struct error *err)
{
    *out = NULL;
    return fail(err, E_INPUT, "%.200s: GGUF files cannot be read by this build", path);
}
