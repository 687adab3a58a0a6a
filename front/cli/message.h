/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to the user: one line each on stderr, "forkfold: " first. */
#ifndef FF_CLI_MESSAGE_H
#define FF_CLI_MESSAGE_H

/* Whatever the arguments hold, the line stays one line (ff_cli_write_safe). */
void ff_cli_message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same; returns FF_CLI_USAGE. */
int ff_cli_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says that memory ran out; returns FF_CLI_UNFINISHED. */
int ff_cli_no_memory(void);

#endif
