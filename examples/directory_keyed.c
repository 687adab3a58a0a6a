/* SPDX-License-Identifier: Apache-2.0 */
/* forkfold_process_directory, keyed aggregation: the most frequent characters of some texts. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include <forkfold.h>

static size_t bytes_of(unsigned char first)
{
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* In a worker, which has made sure that the text is UTF-8. */
static int count_characters(const forkfold_text *text, forkfold_table *table)
{
    for (size_t i = 0; i < text->bytes;) {
        const char *character = text->data + i;
        size_t bytes = bytes_of((unsigned char)*character);
        char lower = (char)tolower((unsigned char)*character);

        i += bytes;
        if (bytes == 1 && !isalpha((unsigned char)lower))
            continue;
        /* What goes wrong here fails the file, so there is nothing to look at. */
        forkfold_table_add(table, bytes == 1 ? &lower : character, bytes, 1);
    }
    return 0;
}

int main(int argc, char **argv)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    const char *folder = argc > 1 ? argv[1] : "examples/texts";
    forkfold_job job = {.map = count_characters};
    const forkfold_aggregate_totals *totals;
    forkfold_aggregate *aggregate;
    forkfold_value value;
    char message[256];
    int more = 1;

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_process_directory(pool, folder, &job, &aggregate) < 0) {
        fprintf(stderr, "%s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    totals = forkfold_aggregate_get_totals(aggregate);
    printf("%" PRIu64 " characters, %" PRIu64 " different\n", totals->results, totals->keys);
    for (int i = 0; i < 10 && (more = forkfold_aggregate_next(aggregate, &value)) > 0; i++)
        printf("%5" PRId64 " %.*s\n", value.value, (int)value.key_bytes, (const char *)value.key);
    forkfold_aggregate_close(aggregate);
    return more < 0;
}
