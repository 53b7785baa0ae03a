#include "server/http/beneath.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/support/check.h"

/* Nothing outside the folder, nothing through a link, nothing but regular files. */

static char dir[64];

static void expect(const char *path, enum status want)
{
    struct error err = { 0 };
    int fd = open_beneath(dir, path, &err);
    CHECK(err.status == want && (fd >= 0) == (want == OK), "%s: %s", path, err.text);
    if (fd >= 0) close(fd);
}

int main(void)
{
    char command[512];
    strcpy(dir, "/tmp/lathe-test-XXXXXX");
    CHECK(mkdtemp(dir), "mkdtemp");
    snprintf(command, sizeof command,
             "cd %s && mkdir -p in/deep && echo x > in/deep/file && echo y > ...odd && ln -s "
             "/etc/passwd link &&"
             " ln -s in dirlink && mkfifo pipe && ln -s ../../etc in/up",
             dir);
    CHECK_INT(system(command), 0);
    expect("in/deep/file", OK);
    expect("...odd", OK);
    expect("link", E_MISSING);
    expect("dirlink/deep/file", E_MISSING);
    expect("in/up/passwd", E_MISSING);
    expect("in/deep", E_MISSING);
    expect("pipe", E_MISSING);
    expect("nothing", E_MISSING);
    expect("in/deep/file/more", E_MISSING);
    expect("", E_INPUT);
    expect("/etc/passwd", E_INPUT);
    expect("../etc/passwd", E_INPUT);
    expect("in/../in/deep/file", E_INPUT);
    expect("in//deep/file", E_INPUT);
    expect("./in/deep/file", E_INPUT);
    expect("in/deep/", E_INPUT);
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK_INT(system(command), 0);
    printf("ok\n");
    return 0;
}
