/* SPDX-License-Identifier: Apache-2.0 */
/* Counting the words of a text in memory: one input, of another kind, of the count over files. */
#include <string.h>

#include "jobs/words_counting.h"
#include "pool/shared_array.h"

static int check(forkfold_pool *pool, const void *text, size_t bytes,
                 const forkfold_words_options *options)
{
    int code = ff_call_check(pool);

    if (code < 0)
        return code;
    if (text == NULL && bytes > 0)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "there is no text of %zu bytes at NULL", bytes);
    if (options->path_count != 0 || options->paths_are_files != 0 || options->glob != NULL ||
        options->recursive != 0 || options->stdin_fd != 0)
        return ff_error_set(
            &pool->error, FORKFOLD_E_INVALID,
            "the options of a text in memory say nothing of paths, names and stdin");
    return 0;
}

static int copy(forkfold_pool *pool, const void *text, size_t bytes, forkfold_shared **shared)
{
    /* Of no bytes a copy has an address, too. */
    int code = ff_shared_open_unset(pool, FORKFOLD_RAW, bytes > 0 ? bytes : 1, shared);

    if (code == 0 && bytes > 0)
        memcpy(forkfold_shared_data(*shared), text, bytes);
    return code;
}

int forkfold_count_text(forkfold_pool *pool, const void *text, size_t bytes,
                        const forkfold_words_options *options, forkfold_words **words)
{
    static const forkfold_words_options defaults = {0};
    struct ff_counting counting = {.pool = pool,
                                   .options = options != NULL ? options : &defaults,
                                   .text = text,
                                   .text_bytes = bytes};
    forkfold_shared *shared = NULL;
    int code = check(pool, text, bytes, counting.options);

    if (code == 0 && (bytes == 0 || !ff_is_shared(pool, text, bytes))) {
        code = copy(pool, text, bytes, &shared);
        if (code == 0)
            counting.text = forkfold_shared_data(shared);
    }
    if (code == 0)
        code = ff_words_count(&counting, words, NULL);
    forkfold_shared_close(shared);
    return code;
}
