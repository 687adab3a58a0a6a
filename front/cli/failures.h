/* SPDX-License-Identifier: Apache-2.0 */
/* The list of failed inputs, for people on stderr and for programs as JSON lines. */
#ifndef FF_CLI_FAILURES_H
#define FF_CLI_FAILURES_H

#include <stdbool.h>

#include <forkfold.h>

#include "writer.h"

/*
 * One line a failure, control characters escaped.  verbose adds the worker's
 * backtrace, indented, and how often the input was tried.
 */
void ff_cli_failures_show(struct ff_cli_writer *writer, const forkfold_words *words, bool verbose);

/*
 * One JSON object a line.  Each has all fields; those that do not apply are
 * null.  A path that is not UTF-8 is null too, and path_bytes has its bytes in
 * hexadecimal.
 */
void ff_cli_failures_json(struct ff_cli_writer *writer, const forkfold_words *words);

#endif
