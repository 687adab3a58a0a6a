/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far the count came, on stderr: on a terminal one line that is redrawn,
 * elsewhere a line now and then.  With --verbose also a line when workers died
 * since the last look.
 */
#ifndef FF_CLI_PROGRESS_H
#define FF_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <forkfold.h>

#include "options.h"

struct ff_cli_progress {
    bool shows;
    bool redraws;
    bool tells_deaths;
    bool sizes_known;     /* of all inputs: else there is no telling how much is left */
    uint64_t interval_ns; /* between two looks; 0 = never */
    uint64_t started_ns;
    uint64_t stopped_ns; /* time that the command was stopped, not at work */
    size_t drawn;        /* columns of the line on the terminal */

    /* The last look, and the rate that all looks so far come to, new ones weighing most. */
    uint64_t worked_ns;
    uint64_t bytes_done;
    double bytes_per_second;
    uint64_t deaths;
};

/* sizes_known: none of the inputs is a stream. */
void ff_cli_progress_start(struct ff_cli_progress *progress, const struct ff_cli_options *options,
                           bool sizes_known);

/* For forkfold_words_options.on_progress; context is the struct ff_cli_progress. */
void ff_cli_progress_show(const forkfold_progress *now, void *context);

/* Takes the line off the terminal.  To be called before anything else is written to it. */
void ff_cli_progress_clear(struct ff_cli_progress *progress);

/* The count is over: takes the line off, and tells of deaths since the last look. */
void ff_cli_progress_end(struct ff_cli_progress *progress, const forkfold_progress *now);

void ff_cli_progress_stopped_for(struct ff_cli_progress *progress, uint64_t nanoseconds);

enum { FF_CLI_PROGRESS_TEXT_BYTES = 256 };

/*
 * What is shown after worked_ns of work, and the look that it is.  text holds
 * FF_CLI_PROGRESS_TEXT_BYTES bytes, all of them ASCII:
 *   "12/40 files, 1.0 MiB of 3.5 MiB, 28%, 812.0 KiB/s, 0:03 left, 2 failed, 1 retried"
 * While more may be found a '+' follows what was found, and how much is left
 * is not told.
 */
void ff_cli_progress_describe(struct ff_cli_progress *progress, const forkfold_progress *now,
                              uint64_t worked_ns, char *text);

#endif
