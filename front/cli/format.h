/* SPDX-License-Identifier: Apache-2.0 */
/* The shapes of a result.  Errors stick to the writer. */
#ifndef FF_CLI_FORMAT_H
#define FF_CLI_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include <forkfold.h>

#include "writer.h"

/* Which words are shown; the totals are always those of all words. */
struct ff_cli_selection {
    uint64_t top;       /* the most frequent ones; 0 = all */
    uint64_t min_count; /* those that occur at least this often */
};

/* "count<TAB>word" lines.  No word holds a tab or a newline: both are white space. */
void ff_cli_format_tsv(struct ff_cli_writer *writer, forkfold_words *words,
                       struct ff_cli_selection selection);

/*
 * One object: {"words":[{"word":"the","count":3},...],"totals":{...}}.  It
 * holds nothing that differs between two runs over the same inputs.
 */
void ff_cli_format_json(struct ff_cli_writer *writer, forkfold_words *words,
                        struct ff_cli_selection selection);

/* For people: aligned, at most columns wide, safe on a terminal, totals below. */
void ff_cli_format_table(struct ff_cli_writer *writer, forkfold_words *words,
                         struct ff_cli_selection selection, size_t columns);

#endif
