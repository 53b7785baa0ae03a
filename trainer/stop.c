#include "trainer/stop.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* Set by a handler, which may run in any thread, or by the thread that finds nobody reads. */
static atomic_bool wanted;

static void on_signal(int number)
{
    (void)number;
    wanted = true;
}

void stop_install(void)
{
    struct sigaction action = { .sa_handler = on_signal };
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk to us */
}

bool stop_wanted(void) { return wanted; }

void stop_within(unsigned seconds)
{
    wanted = true;
    alarm(seconds);
}
