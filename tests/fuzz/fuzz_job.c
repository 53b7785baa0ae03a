#include "tests/fuzz/fuzz.h"
#include "trainer/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct job job;
    struct error err = { 0 };
    if (job_parse(&job, (const char *)data, size, &err))
        FUZZ_CHECK(err.text[0]);
    else
        FUZZ_CHECK(job.identity);
    job_release(&job);
    return 0;
}
