/* SPDX-License-Identifier: Apache-2.0 */
/* forkfold_count_text: the words of a text in memory, by both rules. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <forkfold.h>

static const char text[] =
    "\"The wind,\" said the Keeper, \"is up.\"  The wind was up, and the sea\n"
    "said what the sea says: the keeper's lamp, the wind, the dark.\n";

static int show(forkfold_pool *pool, enum forkfold_word_rule rule, const char *name)
{
    forkfold_words_options options = {.rule = rule};
    forkfold_words *words;
    forkfold_word word;
    int more = 1;
    int code = forkfold_count_text(pool, text, strlen(text), &options, &words);

    if (code < 0)
        return code;
    printf("%s, %" PRIu64 " words:", name, forkfold_words_get_totals(words)->words);
    for (int i = 0; i < 5 && (more = forkfold_words_next(words, &word)) > 0; i++)
        printf(" %.*s %" PRIu64 ",", (int)word.key_bytes, word.key, word.count);
    puts(" ...");
    forkfold_words_close(words);
    return more < 0 ? more : 0;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    char message[256];

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        show(pool, FORKFOLD_LETTERS, "letters") < 0 || show(pool, FORKFOLD_PLAIN, "plain") < 0) {
        fprintf(stderr, "text: %s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    return 0;
}
