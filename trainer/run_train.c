/* Kind train: steps until the budget is spent, then the model folder `result`. */
#include "trainer/run.h"
#include "trainer/training.h"

static enum status loop(struct training *t, struct error *err)
{
    while (t->step < t->total_steps) {
        TRY(training_step(t, false, err));
        training_tell_step(t, t->step == t->total_steps);
        if (t->step < t->total_steps) TRY(training_between(t, err));
    }
    return OK;
}

enum status run_train(const struct job *job, struct events *events, struct error *err)
{
    struct training t;
    if (!training_open(&t, job, events, err)) {
        training_tell_start(&t);
        if (!loop(&t, err)) training_finish(&t, err);
    }
    training_close(&t);
    return err->status;
}
