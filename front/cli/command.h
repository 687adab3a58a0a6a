/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of forkfold, and what their exit codes mean. */
#ifndef FF_CLI_COMMAND_H
#define FF_CLI_COMMAND_H

#include <signal.h>

enum ff_cli_exit {
    FF_CLI_DONE = 0,
    FF_CLI_PARTIAL = 1,       /* done but for the listed inputs */
    FF_CLI_USAGE = 2,         /* nothing was run */
    FF_CLI_UNFINISHED = 3,    /* no result */
    FF_CLI_SIGNAL_BASE = 128, /* plus the number of the signal that ended the command */
    FF_CLI_CLOSED_PIPE = FF_CLI_SIGNAL_BASE + SIGPIPE
};

/* argv[0] is the command's own name.  Returns an exit code. */
int ff_cli_words(int argc, char **argv);

#endif
