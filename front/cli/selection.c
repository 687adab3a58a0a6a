/* SPDX-License-Identifier: Apache-2.0 */
#include "selection.h"

struct ff_cli_walk ff_cli_walk_start(forkfold_words *words, struct ff_cli_selection selection)
{
    forkfold_words_rewind(words);
    return (struct ff_cli_walk){.words = words, .selection = selection};
}

bool ff_cli_walk_next(struct ff_cli_walk *walk, forkfold_word *word)
{
    int code;

    if (walk->error != 0 || (walk->selection.top != 0 && walk->shown == walk->selection.top))
        return false;
    code = forkfold_words_next(walk->words, word);
    if (code < 0)
        walk->error = code;
    /* Words come most frequent first: the first rare one ends the walk. */
    if (code <= 0 || word->count < walk->selection.min_count)
        return false;
    walk->shown++;
    return true;
}
