#ifndef SERVER_JOBS_VERDICT_H
#define SERVER_JOBS_VERDICT_H

#include "server/jobs/child.h"

/*
 * What the end of a trainer means for its job, in the words of job_end (sql/0015), and why
 * in words for people:
 *
 *   exit 0                    done
 *   we asked it to stop, 75   again
 *   no room in its folder     full: tried again, ever more rarely
 *   exit 2                    bad_input: the job is wrong
 *   anything else             crash; `why` ends with its last words
 */
struct verdict {
    const char *how; /* NULL: none yet */
    char why[376];   /* may be "" */
};

void verdict_of_end(struct verdict *verdict, const struct child_end *end, const char *work_dir,
                    const char *last_words);

/* One of our own making. */
void verdict_set(struct verdict *verdict, const char *how, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
