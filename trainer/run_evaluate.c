/* Kind evaluate. */
#include "trainer/run.h"

enum status run_evaluate(const struct job *job, struct events *events, struct error *err)
{
    (void)events;
    return fail(err, E_MISSING, "this build reads jobs of kind %s but cannot do them",
                job_kind_names[job->kind]);
}
