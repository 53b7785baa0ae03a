#include "server/jobs/launch.h"

#include "tests/support/check.h"

/* A command with its words filled in, or a sentence about what is wrong with it. */

static const struct launch launch = { "/usr/bin/lathe-train", "job_7", "/data/a b", 4 };

static const char *words(const char *command)
{
    static char text[512];
    struct error err = { 0 };
    char **list = NULL;
    *text = 0;
    if (launch_words(&list, command, &launch, &err)) return strcpy(text, err.text);
    for (int i = 0; list[i]; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "[%s]", list[i]);
    free(list);
    return text;
}

int main(void)
{
    CHECK_STR(words(NULL), "[/usr/bin/lathe-train]");
    CHECK_STR(words("  mpirun -np {ranks}  {trainer} "), "[mpirun][-np][4][/usr/bin/lathe-train]");
    CHECK_STR(words("srun --job-name=x-{job} '--comment=it is \"on\"' --chdir {work_dir} {trainer}"),
              "[srun][--job-name=x-job_7][--comment=it is \"on\"][--chdir][/data/a b]"
              "[/usr/bin/lathe-train]");
    CHECK_STR(words("nice ''  {trainer}"), "[nice][][/usr/bin/lathe-train]");
    CHECK_STR(words("mpirun -np 4"), "launch: {trainer} is missing, the place of lathe-train");
    CHECK_STR(words("run {gpus} {trainer}"),
              "launch: there is no {gpus}; there are {trainer}, {ranks}, {job} and {work_dir}");
    CHECK_STR(words("run 'x {trainer}"), "launch: a quote does not end");
    char many[512] = "{trainer}";
    for (int i = 0; i < LAUNCH_WORDS; i++) strcat(many, " x");
    CHECK_STR(words(many), "launch: more than 64 words");
    puts("ok");
}
