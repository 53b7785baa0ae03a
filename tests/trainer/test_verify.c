/* The reference vectors, on both backends; and a file that does not match is noticed. */
#include <unistd.h>
#include "tests/support/check.h"
#include "trainer/verify.h"

static int verify(const char *model, const char *expected, const char *backend)
{
    char *argv[] = { "verify",         "--model",   strdup(model),   "--expected",
                     strdup(expected), "--backend", strdup(backend), NULL };
    int status = verify_main(7, argv);
    free(argv[2]), free(argv[4]), free(argv[6]);
    return status;
}

int main(void)
{
    static const char *const cases[] = { "llama_mha_untied", "llama_gqa_tied",
                                         "llama_pruned_heads" };
    const char *shared = getenv("LATHE_SHARED_DIR");
    char model[3][1024], expected[3][1024];
    if (!shared) SKIP("LATHE_SHARED_DIR is not set");
    for (int i = 0; i < 3; i++) {
        snprintf(model[i], sizeof model[i], "%s/golden/%s/model", shared, cases[i]);
        snprintf(expected[i], sizeof expected[i], "%s/golden/%s/expected.safetensors", shared,
                 cases[i]);
        if (access(model[i], R_OK)) SKIP("no reference vectors");
        CHECK_INT(verify(model[i], expected[i], "ref"), 0);
        CHECK_INT(verify(model[i], expected[i], "cpu"), 0);
    }
    CHECK_INT(verify(model[1], expected[0], "cpu"), 2); /* other tensors */
    CHECK_INT(verify(model[0], "/nowhere", "cpu"), 2);
    CHECK_INT(verify(model[0], expected[0], "tpu"), 2);
    return 0;
}
