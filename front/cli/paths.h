/* SPDX-License-Identifier: Apache-2.0 */
/* The inputs: the operands of the command, then the names that --files-from lists. */
#ifndef FF_CLI_PATHS_H
#define FF_CLI_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

struct ff_cli_paths {
    const char **names;
    size_t count;
    bool reads_stdin; /* one of the names is "-", standard input */
    char *list;       /* the bytes of the list, which names point into */
};

/* Returns 0 or an exit code after a message.  The caller ends *paths in both cases. */
int ff_cli_paths_gather(struct ff_cli_paths *paths, const struct ff_cli_options *options);

/* Whether -r would find more: a directory in one of them whose name does not begin with a dot. */
bool ff_cli_paths_have_directories(const struct ff_cli_paths *paths);

void ff_cli_paths_free(struct ff_cli_paths *paths);

#endif
