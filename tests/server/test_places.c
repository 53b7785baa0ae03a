#include "server/jobs/places.h"

#include "tests/support/check.h"

/* Clients see names of files, and no folder of the server. */

static const struct app app = { .jobs_dir = "/srv/l/jobs", .uploads_dir = "/srv/l/uploads" };

static void becomes(const char *text, const char *want)
{
    char copy[200];
    struct buf out;
    buf_init(&out, 400);
    places_put(&out, &app, text, strlen(text));
    CHECK_INT(out.len, strlen(want));
    CHECK(!memcmp(out.len ? out.bytes : "", want, out.len), "%s became %.*s", text, (int)out.len,
          out.len ? out.bytes : "");
    buf_release(&out);
    strcpy(copy, text);
    places_hide(&app, copy);
    CHECK_STR(copy, want);
}

int main(void)
{
    becomes("", "");
    becomes("no place", "no place");
    becomes("cannot open /srv/l/jobs/job_3/result/a: no", "cannot open job_3/result/a: no");
    becomes("/srv/l/uploads/9f86", "9f86");
    becomes("{\"m\": \"/srv/l/uploads/a and /srv/l/jobs/job_1\"}", "{\"m\": \"a and job_1\"}");
    becomes("/srv/l/jobs/ /srv/l/jobs", " /srv/l/jobs");
    becomes("/srv/l/jobsite/a /srv/l/job", "/srv/l/jobsite/a /srv/l/job");
    becomes("/srv/l/jobs//srv/l/uploads/", "");
    becomes("a/b//", "a/b//");
    puts("ok");
}
