/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold_queue_put and forkfold_queue_get: workers put what they find, however much that is, and
 * the host takes it meanwhile.  Of two amicable numbers each is the sum of what divides the other.
 */
#include <stdio.h>

#include <forkfold.h>

enum { LIMIT = 100000, SEARCHERS = 4 };

struct pair {
    unsigned first, second;
};

static unsigned sum_divisors(unsigned n)
{
    unsigned sum = 1;

    for (unsigned d = 2; d * d <= n; d++)
        if (n % d == 0)
            sum += d * d < n ? d + n / d : d;
    return sum;
}

static int search(const forkfold_item *item)
{
    forkfold_queue *const *queue = item->context;
    int code = 0;

    for (unsigned n = 2 + (unsigned)item->index; n < LIMIT && code == 0; n += SEARCHERS) {
        struct pair pair = {n, sum_divisors(n)};

        if (pair.second > n && sum_divisors(pair.second) == n)
            code = forkfold_queue_put(*queue, &pair, 1, UINT64_MAX);
    }
    return code == 0 ? forkfold_queue_end(*queue, (unsigned)item->index) : code;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    forkfold_queue_options found = {.item_bytes = sizeof(struct pair), .producers = SEARCHERS};
    forkfold_queue *queue[1];
    forkfold_call_options options = {
        .function = search, .count = SEARCHERS, .context = queue, .context_bytes = sizeof(queue)};
    forkfold_call *call;
    forkfold_batch batch;
    int pairs = 0, more;

    if (forkfold_pool_open(&pool, NULL, NULL, 0) < 0 ||
        forkfold_queue_open(pool, &found, queue) < 0 ||
        forkfold_map_async(pool, &options, &call) < 0)
        return 1;
    while ((more = forkfold_queue_get(*queue, 0, &batch, UINT64_MAX)) == 1)
        pairs++; /* batch.items is a const struct pair * */
    if (more == 0)
        printf("%d pairs begin below %d\n", pairs, LIMIT);
    return more < 0;
}
