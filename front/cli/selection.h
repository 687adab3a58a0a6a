/* SPDX-License-Identifier: Apache-2.0 */
/* Which words of a result are shown, and the walk over them. */
#ifndef FF_CLI_SELECTION_H
#define FF_CLI_SELECTION_H

#include <stdbool.h>
#include <stdint.h>

#include <forkfold.h>

/* The totals are always those of all words. */
struct ff_cli_selection {
    uint64_t top;       /* the most frequent ones; 0 = all */
    uint64_t min_count; /* those that occur at least this often */
};

struct ff_cli_walk {
    forkfold_words *words;
    struct ff_cli_selection selection;
    uint64_t shown; /* words given out */
    int error;      /* the forkfold_error code that ended the walk, or 0 */
};

/* Starts at the most frequent word.  One walk at a time: they share the place in words. */
struct ff_cli_walk ff_cli_walk_start(forkfold_words *words, struct ff_cli_selection selection);

/* False at the end and after an error.  The key lives until the next call. */
bool ff_cli_walk_next(struct ff_cli_walk *walk, forkfold_word *word);

#endif
