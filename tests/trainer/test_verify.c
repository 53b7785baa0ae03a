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

/* A folder of cases: every one is within tolerance on every backend. False when it is not there. */
static int verify_cases(const char *folder, const char *const *cases)
{
    static const char *const backends[] = { "ref", "cpu", "cpu-blas" };
    for (; *cases; cases++) {
        char model[1024], expected[1024];
        snprintf(model, sizeof model, "%s/%s/model", folder, *cases);
        snprintf(expected, sizeof expected, "%s/%s/expected.safetensors", folder, *cases);
        if (access(model, R_OK)) return 0;
        for (int b = 0; b < 3; b++) CHECK_INT(verify(model, expected, backends[b]), 0);
    }
    return 1;
}

/* One number of the file changed (the last loss, at its end) is noticed: exit status 1. */
static void verify_notices(const char *model, const char *expected)
{
    static char bytes[1 << 20];
    char path[] = "/tmp/lathe-verify-XXXXXX";
    FILE *from = fopen(expected, "rb");
    size_t n = from ? fread(bytes, 1, sizeof bytes, from) : 0;
    int to = mkstemp(path);
    CHECK(n > 4 && n < sizeof bytes && to >= 0, "%s: %zu bytes", expected, n);
    memcpy(bytes + n - 4, &(float){ 1.5f }, 4);
    CHECK_INT(write(to, bytes, n), n);
    fclose(from), close(to);
    CHECK_INT(verify(model, path, "cpu"), 1);
    unlink(path);
}

int main(void)
{
    static const char *const ours[] = { "qwen2_bias_odd", "llama3_scaling_uneven",
                                        "llama_three_positions", NULL };
    static const char *const shared[] = { "llama_mha_untied", "llama_gqa_tied",
                                          "llama_pruned_heads", NULL };
    const char *source_dir = getenv("LATHE_SOURCE_DIR"), *shared_dir = getenv("LATHE_SHARED_DIR");
    char folder[512], a[1024], b[1024], other[1024];
    if (!source_dir || !shared_dir) SKIP("LATHE_SOURCE_DIR and LATHE_SHARED_DIR are not set");
    snprintf(folder, sizeof folder, "%s/tests/golden", source_dir);
    CHECK(verify_cases(folder, ours), "no cases in %s", folder);
    snprintf(a, sizeof a, "%s/%s/model", folder, ours[0]);
    snprintf(b, sizeof b, "%s/%s/expected.safetensors", folder, ours[0]);
    snprintf(other, sizeof other, "%s/%s/expected.safetensors", folder, ours[1]);
    verify_notices(a, b);
    CHECK_INT(verify(a, other, "cpu"), 2); /* other tensors */
    CHECK_INT(verify(a, "/nowhere", "cpu"), 2);
    CHECK_INT(verify(a, b, "tpu"), 2);
    snprintf(folder, sizeof folder, "%s/golden", shared_dir);
    if (!verify_cases(folder, shared)) SKIP("the shared reference vectors are not here");
    return 0;
}
