/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold_apply: one call of a function, elsewhere.  What comes from outside is parsed in a worker,
 * so that whatever the parser does to its memory, this process goes on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <forkfold.h>

/* "2024-02-29" becomes the number of days since 1970-01-01. */
static int parse_date(const forkfold_item *item)
{
    const char *text = item->arguments[0];
    int year, month, day, end = 0;

    if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &end) != 3 || text[end] != '\0' ||
        year < 1970 || month < 1 || month > 12 || day < 1 || day > 31)
        return forkfold_item_fail(item, "'%s' is no date", text);
    /* A year that begins in March has its leap day at its end. */
    if (month <= 2) {
        month += 12;
        year--;
    }
    *(int64_t *)item->result =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month - 457) / 5 + day - 719469;
    return 0;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    static const char *const texts[] = {"1970-01-01", "2024-02-29", "last Tuesday"};
    char message[256];

    /* Calls are made one at a time here, so more workers would have nothing to do. */
    if (forkfold_pool_open(&pool, &(forkfold_pool_options){.workers = 1}, message,
                           sizeof(message)) < 0) {
        fprintf(stderr, "apply: %s\n", message);
        return 1;
    }
    for (int i = 0; i < 3; i++) {
        int64_t days;
        int code =
            forkfold_apply(pool, parse_date, texts[i], strlen(texts[i]) + 1, &days, sizeof(days));

        if (code == 0)
            printf("%s is day %" PRId64 "\n", texts[i], days);
        else if (code == FORKFOLD_E_FAILED)
            printf("refused: %s\n", forkfold_pool_message(pool));
        else {
            fprintf(stderr, "apply: %s\n", forkfold_pool_message(pool));
            return 1;
        }
    }
    return 0;
}
