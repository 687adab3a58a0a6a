/* SPDX-License-Identifier: Apache-2.0 */
/* The result for people at a terminal. */
#ifndef FF_CLI_TABLE_H
#define FF_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <forkfold.h>

#include "selection.h"
#include "writer.h"

/* What the table may make use of. */
struct ff_cli_table_look {
    size_t columns; /* no line is wider */
    bool utf8;      /* bars of block characters, to an eighth of a column; else of '#' */
    bool colours;
};

/*
 * Counts, words and bars, aligned and safe on a terminal, totals below.  A bar
 * is as long as its count beside that of the most frequent word; there are
 * none where they would be too short to say anything.  Returns 0, or the
 * forkfold_error code with which the words could not be read to their end.
 */
int ff_cli_format_table(struct ff_cli_writer *writer, forkfold_words *words,
                        struct ff_cli_selection selection, const struct ff_cli_table_look *look);

#endif
