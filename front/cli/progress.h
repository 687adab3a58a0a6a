/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far the count came, on stderr: on a terminal one line that is redrawn,
 * elsewhere a line now and then.
 */
#ifndef FF_CLI_PROGRESS_H
#define FF_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <forkfold.h>

#include "options.h"

struct ff_cli_progress {
    bool redraws;
    uint64_t interval_ns; /* 0 = show nothing */
    uint64_t started_ns;
    uint64_t stopped_ns; /* time that the command was stopped, not at work */
    size_t drawn;        /* columns of the line on the terminal */
};

void ff_cli_progress_start(struct ff_cli_progress *progress, const struct ff_cli_options *options);

/* For forkfold_words_options.on_progress; context is the struct ff_cli_progress. */
void ff_cli_progress_show(const forkfold_progress *now, void *context);

/* Takes the line off the terminal.  To be called before anything else is written to it. */
void ff_cli_progress_clear(struct ff_cli_progress *progress);

void ff_cli_progress_stopped_for(struct ff_cli_progress *progress, uint64_t nanoseconds);

#endif
