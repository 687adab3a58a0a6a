/* SPDX-License-Identifier: Apache-2.0 */
/* What the terminal of the user can show. */
#ifndef FF_CLI_TERMINAL_H
#define FF_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* The columns of the terminal at fd, at least 2; 80 if nobody knows. */
size_t ff_cli_terminal_columns(int fd);

/*
 * Finds out whether the user's locale has UTF-8 as its character set, and
 * takes over that locale's character types: from then on widths of characters
 * are known (ff_cli_safe_columns).
 */
bool ff_cli_terminal_is_utf8(void);

/* Whether fd is a terminal that colours may go to: NO_COLOR is not set, TERM not "dumb". */
bool ff_cli_terminal_has_colours(int fd);

#endif
