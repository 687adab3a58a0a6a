/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that appears wholly or not at all.
 *
 * The bytes go to an unnamed file (O_TMPFILE) in the target's directory; at the
 * commit it gets the target's name, by way of a temporary one if the target
 * exists.  Where unnamed files are not to be had, the temporary name exists
 * from the start.  A temporary name is guarded by the pool before it exists,
 * so that it goes though the command is killed.  What is no regular file, a
 * device or a pipe, is written straight, and so are stdout and stderr.
 */
#ifndef FF_CLI_OUTPUT_H
#define FF_CLI_OUTPUT_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include <forkfold.h>

#include "writer.h"

enum ff_cli_output_kind { FF_CLI_OUTPUT_STANDARD, FF_CLI_OUTPUT_STRAIGHT, FF_CLI_OUTPUT_ATOMIC };

enum ff_cli_output_state {
    FF_CLI_OUTPUT_CLOSED,
    FF_CLI_OUTPUT_NAMELESS, /* the open file has no name yet */
    FF_CLI_OUTPUT_NAMED,    /* the open file has the temporary name */
    FF_CLI_OUTPUT_OPEN      /* written straight */
};

struct ff_cli_output {
    const char *option; /* "--output", for messages */
    const char *path;   /* as the user gave it; NULL for stdout */
    enum ff_cli_output_kind kind;
    enum ff_cli_output_state state;
    int standard_fd;       /* of FF_CLI_OUTPUT_STANDARD: stdout or stderr */
    bool replaces;         /* the target exists */
    struct stat replaced;  /* then: what it is */
    char target[PATH_MAX]; /* absolute, symlinks followed */
    char directory[PATH_MAX];
    char temporary[PATH_MAX];
    forkfold_pool *pool; /* guards temporary; NULL before open */
    struct ff_cli_writer writer;
};

/*
 * Settles where path leads and checks that it can be written, creating
 * nothing.  path is NULL for stdout.  Returns 0 or an exit code after a message.
 */
int ff_cli_output_check(struct ff_cli_output *output, const char *option, const char *path);

/*
 * Opens it for output->writer, which uses buffer until the commit.  Returns 0
 * or an exit code after a message.
 */
int ff_cli_output_open(struct ff_cli_output *output, forkfold_pool *pool, char *buffer,
                       size_t capacity);

/*
 * Writes out the rest and puts the file in place; closes it in every case.
 * Returns 0, FF_CLI_UNFINISHED after a message, or FF_CLI_CLOSED_PIPE.
 */
int ff_cli_output_commit(struct ff_cli_output *output);

/* Closes it without the commit: a file then is as if it had never been opened. */
void ff_cli_output_abandon(struct ff_cli_output *output);

#endif
