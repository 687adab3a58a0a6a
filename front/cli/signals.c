/* SPDX-License-Identifier: Apache-2.0 */
#include "signals.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "command.h"

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT};
static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static volatile sig_atomic_t result_written;

static bool is_ignored(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void ff_cli_signals_block(struct ff_cli_signals *signals)
{
    *signals = (struct ff_cli_signals){.fd = -1};
    sigemptyset(&signals->set);
    for (size_t i = 0; i < COUNT(caught); i++) {
        if (!is_ignored(caught[i]))
            sigaddset(&signals->set, caught[i]);
    }
    sigprocmask(SIG_BLOCK, &signals->set, NULL);
}

/* Only calls that are safe in a signal handler. */
static void end_at_once(int number)
{
    static const char text[] = "forkfold: interrupted before the result was written\n";

    if (result_written) {
        result_written = 0;
        return;
    }
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        _exit(FF_CLI_SIGNAL_BASE + number);
    _exit(FF_CLI_SIGNAL_BASE + number);
}

void ff_cli_signals_release(struct ff_cli_signals *signals)
{
    struct sigaction action = {.sa_handler = end_at_once, .sa_flags = SA_RESTART};

    for (size_t i = 0; i < COUNT(ending); i++) {
        if (sigismember(&signals->set, ending[i]))
            sigaction(ending[i], &action, NULL);
    }
    sigprocmask(SIG_UNBLOCK, &signals->set, NULL);
}

void ff_cli_signals_result_written(void)
{
    result_written = 1;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/*
 * Lets the default action of SIGTSTP happen and returns after SIGCONT.  The
 * kernel, not this process, knows whether anybody is there to continue it.
 */
static void stop_until_continued(struct ff_cli_signals *signals)
{
    uint64_t stopped = now_ns();
    sigset_t only_stop;

    ff_cli_progress_clear(signals->progress);
    sigemptyset(&only_stop);
    sigaddset(&only_stop, SIGTSTP);
    forkfold_pool_pause(signals->pool);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &only_stop, NULL);
    sigprocmask(SIG_BLOCK, &only_stop, NULL);
    forkfold_pool_resume(signals->pool);
    ff_cli_progress_stopped_for(signals->progress, now_ns() - stopped);
}

static int take_signals(int fd, void *context)
{
    struct ff_cli_signals *signals = context;
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTSTP) {
            stop_until_continued(signals);
        } else if (info.ssi_signo != SIGCONT) {
            signals->received = (int)info.ssi_signo;
            ff_cli_progress_clear(signals->progress);
            ff_cli_signals_release(signals);
            return 1;
        }
    }
    return 0;
}

int ff_cli_signals_watch(struct ff_cli_signals *signals, forkfold_pool *pool,
                         struct ff_cli_progress *progress)
{
    signals->pool = pool;
    signals->progress = progress;
    signals->fd = signalfd(-1, &signals->set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->fd < 0) {
        /* Then the first ends the command at once, as otherwise a second one would. */
        ff_cli_signals_release(signals);
        return 0;
    }
    return forkfold_pool_watch(pool, signals->fd, take_signals, signals);
}
