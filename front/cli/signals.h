/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How signals reach the command.
 *
 * While the pool counts, the signals are blocked and read from a signalfd that
 * the pool watches: the first SIGINT, SIGTERM or SIGHUP cancels the count,
 * SIGTSTP stops the command without running its timeouts down.  Before and
 * after, they end the command at once; the pool's supervisor then clears up.
 * A signal that was ignored when the command started stays ignored.
 */
#ifndef FF_CLI_SIGNALS_H
#define FF_CLI_SIGNALS_H

#include <signal.h>

#include <forkfold.h>

#include "progress.h"

struct ff_cli_signals {
    sigset_t set; /* those that are not ignored */
    int fd;       /* signalfd, or -1 */
    int received; /* the signal that cancelled the count, or 0 */
    forkfold_pool *pool;
    struct ff_cli_progress *progress;
};

/* Before the pool is opened, so that no signal ends the command half-way. */
void ff_cli_signals_block(struct ff_cli_signals *signals);

/* Has pool watch the signals until release.  Returns a forkfold_error code. */
int ff_cli_signals_watch(struct ff_cli_signals *signals, forkfold_pool *pool,
                         struct ff_cli_progress *progress);

/* After the count: from here a signal ends the command at once with its exit code. */
void ff_cli_signals_release(struct ff_cli_signals *signals);

/*
 * The result is written and the command is about to end by itself: one more
 * signal must not turn its exit code into "no result".  A second one does.
 */
void ff_cli_signals_result_written(void);

#endif
