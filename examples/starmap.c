/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold_starmap: a function of several arguments, each from an array of its own.  Item i is a
 * loan: what is owed, the interest of a year in hundredths of a percent, what is paid each month.
 */
#include <inttypes.h>
#include <stdio.h>

#include <forkfold.h>

static int count_months(const forkfold_item *item)
{
    int64_t owed = *(const int64_t *)item->arguments[0];
    int32_t rate = *(const int32_t *)item->arguments[1];
    int64_t payment = *(const int64_t *)item->arguments[2];
    int64_t months = 0;

    for (; owed > 0; months++) {
        int64_t interest = owed * rate / 120000;

        if (interest >= payment)
            return forkfold_item_fail(item, "%" PRId64 " a month never pay it back", payment);
        owed += interest - payment;
    }
    *(int64_t *)item->result = months;
    return 0;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    static const int64_t owed[] = {12000, 250000, 9000};
    static const int32_t rates[] = {0, 375, 1290};
    static const int64_t payments[] = {1000, 1210, 300};
    forkfold_call_options options = {
        .function = count_months,
        .count = 3,
        .arrays = {{.data = owed, .item_bytes = sizeof(*owed)},
                   {.data = rates, .item_bytes = sizeof(*rates)},
                   {.data = payments, .item_bytes = sizeof(*payments)}},
        .array_count = 3,
        .result_bytes = sizeof(int64_t),
        .stop_on_failure = 1};
    forkfold_call *call;
    char message[256];

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_starmap(pool, &options, &call) < 0) {
        fprintf(stderr, "starmap: %s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    for (int i = 0; i < 3; i++)
        printf("%" PRId64 " are paid back in %" PRId64 " months\n", owed[i],
               ((const int64_t *)forkfold_call_results(call))[i]);
    forkfold_call_close(call);
    return 0;
}
