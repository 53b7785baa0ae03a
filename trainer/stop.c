#include "trainer/stop.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t wanted;

static void on_signal(int number)
{
    (void)number;
    wanted = 1;
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
    wanted = 1;
    alarm(seconds);
}
