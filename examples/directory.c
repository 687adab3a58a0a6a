/* SPDX-License-Identifier: Apache-2.0 */
/* forkfold_process_directory, free aggregation: the longest line of a folder of texts. */
#include <stdio.h>
#include <string.h>

#include <forkfold.h>

struct longest {
    size_t bytes;
    char text[400]; /* path and line */
};

/* In a worker: the result of a file is its longest line; one without lines has none. */
static int find_longest(const forkfold_text *text, forkfold_table *unused)
{
    const char *longest = NULL;
    size_t most = 0;

    (void)unused;
    for (const char *line = text->data; line < text->data + text->bytes;) {
        size_t bytes = strcspn(line, "\n");

        longest = bytes > most ? line : longest;
        most = bytes > most ? bytes : most;
        line += bytes + 1;
    }
    void *result = most > 0 ? forkfold_text_reserve(text, most) : NULL;

    return most > 0 && (result == NULL || memcpy(result, longest, most) == NULL);
}

/* Here: of lines of one length the first in order of the paths. */
static int keep_longest(void *total, const forkfold_text_result *result, void *unused)
{
    struct longest *longest = total;

    (void)unused;
    if (result->bytes <= longest->bytes)
        return 0;
    longest->bytes = result->bytes;
    snprintf(longest->text, sizeof(longest->text), "%s\n%.*s", result->path, (int)result->bytes,
             (const char *)result->data);
    return 0;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    struct longest longest = {.bytes = 0};
    forkfold_job job = {.map = find_longest, .aggregate = keep_longest, .total = &longest};
    forkfold_aggregate *aggregate;

    job.ordered = 1;
    if (forkfold_pool_open(&pool, NULL, NULL, 0) < 0 ||
        forkfold_process_directory(pool, "examples/texts", &job, &aggregate) < 0)
        return 1;
    forkfold_aggregate_close(aggregate);
    return puts(longest.text) < 0;
}
