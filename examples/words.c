/* SPDX-License-Identifier: Apache-2.0 */
/* forkfold_count_words: the most frequent words of a folder of texts. */
#include <inttypes.h>
#include <stdio.h>

#include <forkfold.h>

int main(int argc, char **argv)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    const char *folder = argc > 1 ? argv[1] : "examples/texts";
    forkfold_words_options options = {.paths = &folder, .path_count = 1};
    const forkfold_words_totals *totals;
    const forkfold_failure *failure;
    forkfold_words *words;
    forkfold_word word;
    char message[256];
    int more = 1;

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_count_words(pool, &options, &words, NULL) < 0) {
        fprintf(stderr, "words: %s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    totals = forkfold_words_get_totals(words);
    printf("%" PRIu64 " words in %" PRIu64 " files\n", totals->words, totals->files);
    for (int i = 0; i < 10 && (more = forkfold_words_next(words, &word)) > 0; i++)
        printf("%4" PRIu64 " %.*s\n", word.count, (int)word.key_bytes, word.key);
    if (more < 0)
        fprintf(stderr, "words: %s\n", forkfold_pool_message(pool));
    for (size_t i = 0; (failure = forkfold_words_failure(words, i)) != NULL; i++)
        fprintf(stderr, "%s: %s\n", failure->path, failure->detail);
    forkfold_words_close(words);
    return more < 0;
}
