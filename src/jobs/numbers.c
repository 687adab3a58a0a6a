/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums and statistics on the pool.  Each is one or more walks over the numbers: every range of them
 * has a partial result of its own, and the driver merges those, which may be done in any order.
 */
#include <forkfold/numbers.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/call.h>

#include "jobs/exact_sum.h"
#include "jobs/moments.h"
#include "jobs/order_key.h"
#include "jobs/selection.h"
#include "pool/call.h"
#include "pool/shared_array.h"

enum {
    RANGES_PER_WORKER = 8,
    RANGE_LEAST = 1 << 16, /* numbers: far more work than claiming them */
    /* Keys that the last walk for a median gathers, at most. */
    GATHERED_MOST = 1 << 16
};

/* One walk.  The context of its call. */
struct walk {
    forkfold_numbers numbers;
    uint64_t step; /* numbers of a range */
    struct ff_selection selection;
    /* Of a range: writes the partial result, which is of the walk's size. */
    void (*visit)(const struct walk *walk, const void *data, uint64_t count, void *partial);
    /* In the driver. */
    void (*merge)(void *total, const void *partial);
    size_t partial_bytes;
};

/* ---- Walks --------------------------------------------------------------- */

static uint64_t range_count(const struct walk *walk)
{
    return walk->numbers.count == 0 ? 0 : (walk->numbers.count - 1) / walk->step + 1;
}

static void visit_range(const struct walk *walk, uint64_t number, void *partial)
{
    uint64_t first = number * walk->step;
    uint64_t left = walk->numbers.count - first;

    walk->visit(walk,
                (const char *)walk->numbers.data + first * forkfold_type_bytes(walk->numbers.type),
                left < walk->step ? left : walk->step, partial);
}

static int visit_item(const forkfold_item *item)
{
    visit_range(item->context, item->index, item->result);
    return 0;
}

static int walk_here(forkfold_pool *pool, const struct walk *walk, void *total)
{
    void *partial = aligned_alloc(64, (walk->partial_bytes + 63) & ~(size_t)63);

    if (partial == NULL)
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_MEMORY,
                            "no memory for partial results");
    for (uint64_t i = 0; i < range_count(walk); i++) {
        visit_range(walk, i, partial);
        walk->merge(total, partial);
    }
    free(partial);
    return 0;
}

static int walk_in_workers(forkfold_pool *pool, const struct walk *walk, void *total)
{
    forkfold_call *call = NULL;
    int code = forkfold_map(pool,
                            &(forkfold_call_options){.function = visit_item,
                                                     .count = range_count(walk),
                                                     .chunk = 1,
                                                     .context = walk,
                                                     .context_bytes = sizeof(*walk),
                                                     .result_bytes = walk->partial_bytes,
                                                     .stop_on_failure = 1},
                            &call);

    if (code < 0)
        return code;
    for (uint64_t i = 0; i < range_count(walk); i++)
        walk->merge(total, (const char *)forkfold_call_results(call) + i * walk->partial_bytes);
    forkfold_call_close(call);
    return 0;
}

/* Adds the partial results of all ranges to the total. */
static int walk_all(forkfold_pool *pool, struct walk *walk, void *total)
{
    const forkfold_numbers *numbers = &walk->numbers;
    uint64_t workers = pool == NULL ? 1 : forkfold_pool_workers(pool);
    uint64_t wanted = numbers->count / (workers * RANGES_PER_WORKER);

    walk->step = wanted > RANGE_LEAST ? wanted : RANGE_LEAST;
    if (pool != NULL &&
        ff_is_shared(pool, numbers->data, numbers->count * forkfold_type_bytes(numbers->type)))
        return walk_in_workers(pool, walk, total);
    return walk_here(pool, walk, total);
}

static int check(forkfold_pool *pool, const forkfold_numbers *numbers, const char *types,
                 unsigned allowed)
{
    uint64_t bytes;
    int code = pool == NULL ? 0 : ff_call_check(pool);

    if (code < 0)
        return code;
    if ((unsigned)numbers->type >= 32 || (allowed >> numbers->type & 1) == 0)
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_INVALID,
                            "the numbers have to be of type %s", types);
    if (numbers->count > 0 && numbers->data == NULL)
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_INVALID,
                            "there are no %llu numbers at NULL",
                            (unsigned long long)numbers->count);
    if (__builtin_mul_overflow(numbers->count, forkfold_type_bytes(numbers->type), &bytes))
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_INVALID,
                            "%llu numbers are larger than any memory",
                            (unsigned long long)numbers->count);
    return 0;
}

/* ---- Sums ---------------------------------------------------------------- */

static void sum_floats(const struct walk *walk, const void *data, uint64_t count, void *partial)
{
    ff_exact_sum_init(partial);
    if (walk->numbers.type == FORKFOLD_F64)
        ff_exact_sum_add_f64(partial, data, count);
    else
        ff_exact_sum_add_f32(partial, data, count);
}

static void merge_floats(void *total, const void *partial)
{
    ff_exact_sum_merge(total, partial);
}

int forkfold_sum_floats(forkfold_pool *pool, const forkfold_numbers *numbers, double *sum)
{
    struct walk walk = {.numbers = *numbers,
                        .visit = sum_floats,
                        .merge = merge_floats,
                        .partial_bytes = sizeof(struct ff_exact_sum)};
    struct ff_exact_sum total;
    int code = check(pool, numbers, "f32 or f64", 1U << FORKFOLD_F32 | 1U << FORKFOLD_F64);

    ff_exact_sum_init(&total);
    if (code == 0)
        code = walk_all(pool, &walk, &total);
    if (code < 0)
        return code;
    switch (ff_exact_sum_round(&total, sum)) {
    case FF_SUM_ROUNDED:
        return 0;
    case FF_SUM_OVERFLOW:
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_RANGE,
                            "the sum is beyond the largest double");
    case FF_SUM_UNDEFINED:
        break;
    }
    return ff_error_set(ff_call_error(pool), FORKFOLD_E_RANGE,
                        "there are infinities of both signs: they have no sum");
}

static void sum_integers(const struct walk *walk, const void *data, uint64_t count, void *partial)
{
    ff_int128 sum = 0;

    if (walk->numbers.type == FORKFOLD_I32)
        ff_integer_sum_add_i32(&sum, data, count);
    else if (walk->numbers.type == FORKFOLD_I64)
        ff_integer_sum_add_i64(&sum, data, count);
    else
        ff_integer_sum_add_u8(&sum, data, count);
    memcpy(partial, &sum, sizeof(sum));
}

static void merge_integers(void *total, const void *partial)
{
    ff_int128 sum;

    memcpy(&sum, partial, sizeof(sum));
    *(ff_int128 *)total += sum;
}

int forkfold_sum_integers(forkfold_pool *pool, const forkfold_numbers *numbers,
                          forkfold_int128 *sum)
{
    struct walk walk = {.numbers = *numbers,
                        .visit = sum_integers,
                        .merge = merge_integers,
                        .partial_bytes = sizeof(ff_int128)};
    ff_int128 total = 0;
    int code = check(pool, numbers, "i32, i64 or u8",
                     1U << FORKFOLD_I32 | 1U << FORKFOLD_I64 | 1U << FORKFOLD_U8);

    if (code == 0)
        code = walk_all(pool, &walk, &total);
    if (code < 0)
        return code;
    *sum = (forkfold_int128){.low = (uint64_t)total, .high = (int64_t)(total >> 64)};
    return 0;
}

/* ---- The median ---------------------------------------------------------- */

static void count_buckets(const struct walk *walk, const void *data, uint64_t count, void *partial)
{
    memset(partial, 0, FF_SELECTION_BUCKETS * sizeof(uint64_t));
    if (walk->numbers.type == FORKFOLD_F64)
        ff_selection_count_f64(&walk->selection, data, count, partial);
    else
        ff_selection_count_i64(&walk->selection, data, count, partial);
}

static void merge_buckets(void *total, const void *partial)
{
    for (unsigned i = 0; i < FF_SELECTION_BUCKETS; i++)
        ((uint64_t *)total)[i] += ((const uint64_t *)partial)[i];
}

static int narrow(forkfold_pool *pool, struct walk *walk)
{
    uint64_t *buckets = calloc(FF_SELECTION_BUCKETS, sizeof(*buckets));
    int code;

    if (buckets == NULL)
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_MEMORY, "no memory to find the median");
    walk->visit = count_buckets;
    walk->merge = merge_buckets;
    walk->partial_bytes = FF_SELECTION_BUCKETS * sizeof(*buckets);
    code = walk_all(pool, walk, buckets);
    if (code == 0 && ff_selection_narrow(&walk->selection, buckets) < 0)
        code = ff_error_set(ff_call_error(pool), FORKFOLD_E_DAMAGED,
                            "the numbers changed while their median was looked for");
    free(buckets);
    return code;
}

/* The keys of a range that are close to the median, or those of all. */
struct gathering {
    struct ff_gathered found;
    uint64_t keys[GATHERED_MOST];
};

static void gather_keys(const struct walk *walk, const void *data, uint64_t count, void *partial)
{
    struct gathering *gathering = partial;

    gathering->found =
        walk->numbers.type == FORKFOLD_F64
            ? ff_selection_gather_f64(&walk->selection, data, count, gathering->keys, GATHERED_MOST)
            : ff_selection_gather_i64(&walk->selection, data, count, gathering->keys,
                                      GATHERED_MOST);
}

static void merge_keys(void *total, const void *partial)
{
    struct gathering *all = total;
    const struct gathering *more = partial;
    uint64_t room = GATHERED_MOST - all->found.count;

    if (more->found.above < all->found.above)
        all->found.above = more->found.above;
    /* Too many are found out by ff_selection_finish. */
    if (more->found.count > room)
        return;
    memcpy(all->keys + all->found.count, more->keys, more->found.count * sizeof(more->keys[0]));
    all->found.count += more->found.count;
}

static int finish_median(forkfold_pool *pool, struct walk *walk, uint64_t *lower, uint64_t *upper)
{
    struct gathering *all = malloc(sizeof(*all));
    int code;

    if (all == NULL)
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_MEMORY, "no memory to find the median");
    all->found = (struct ff_gathered){.above = UINT64_MAX};
    walk->visit = gather_keys;
    walk->merge = merge_keys;
    walk->partial_bytes = sizeof(*all);
    code = walk_all(pool, walk, all);
    if (code == 0 && ff_selection_finish(&walk->selection, all->keys, all->found.count,
                                         all->found.above, lower, upper) < 0)
        code = ff_error_set(ff_call_error(pool), FORKFOLD_E_DAMAGED,
                            "the numbers changed while their median was looked for");
    free(all);
    return code;
}

static int find_median(forkfold_pool *pool, struct walk *walk, int64_t least, int64_t greatest,
                       double *median)
{
    uint64_t count = walk->numbers.count;
    uint64_t lower = 0;
    uint64_t upper = 0;
    int code = 0;

    ff_selection_init(&walk->selection, ff_order_key(least), ff_order_key(greatest), count,
                      ff_median_rank(count));
    while (code == 0 && ff_selection_is_wide(&walk->selection, GATHERED_MOST))
        code = narrow(pool, walk);
    if (code == 0)
        code = finish_median(pool, walk, &lower, &upper);
    if (code < 0)
        return code;
    if (count % 2 != 0)
        upper = lower;
    *median = walk->numbers.type == FORKFOLD_F64 ? ff_median_f64(lower, upper)
                                                 : ff_median_i64(lower, upper);
    return 0;
}

/* ---- Statistics ---------------------------------------------------------- */

static void add_moments_f64(const struct walk *walk, const void *data, uint64_t count,
                            void *partial)
{
    (void)walk;
    ff_moments_f64_init(partial);
    ff_moments_f64_add(partial, data, count);
}

static void merge_moments_f64(void *total, const void *partial)
{
    ff_moments_f64_merge(total, partial);
}

static void add_moments_i64(const struct walk *walk, const void *data, uint64_t count,
                            void *partial)
{
    (void)walk;
    ff_moments_i64_init(partial);
    ff_moments_i64_add(partial, data, count);
}

static void merge_moments_i64(void *total, const void *partial)
{
    ff_moments_i64_merge(total, partial);
}

static int fail_count(forkfold_pool *pool)
{
    return ff_error_set(ff_call_error(pool), FORKFOLD_E_DAMAGED,
                        "a worker damaged its partial result; there is no result");
}

static int float_statistics(forkfold_pool *pool, struct walk *walk, forkfold_statistics *statistics)
{
    struct ff_moments_f64 moments;
    int code;

    walk->visit = add_moments_f64;
    walk->merge = merge_moments_f64;
    walk->partial_bytes = sizeof(moments);
    ff_moments_f64_init(&moments);
    code = walk_all(pool, walk, &moments);
    if (code < 0)
        return code;
    if (moments.count != walk->numbers.count)
        return fail_count(pool);
    *statistics = (forkfold_statistics){.count = moments.count,
                                        .mean = ff_moments_f64_mean(&moments),
                                        .variance = ff_moments_f64_variance(&moments),
                                        .median = NAN,
                                        .minimum = ff_moments_f64_minimum(&moments),
                                        .maximum = ff_moments_f64_maximum(&moments)};
    if ((moments.sum.specials & FF_SUM_HAS_NAN) != 0)
        return 0;
    return find_median(pool, walk, moments.least, moments.greatest, &statistics->median);
}

static int integer_statistics(forkfold_pool *pool, struct walk *walk,
                              forkfold_statistics *statistics)
{
    struct ff_moments_i64 moments;
    int code;

    walk->visit = add_moments_i64;
    walk->merge = merge_moments_i64;
    walk->partial_bytes = sizeof(moments);
    ff_moments_i64_init(&moments);
    code = walk_all(pool, walk, &moments);
    if (code < 0)
        return code;
    if (moments.count != walk->numbers.count)
        return fail_count(pool);
    *statistics = (forkfold_statistics){.count = moments.count,
                                        .mean = ff_moments_i64_mean(&moments),
                                        .variance = ff_moments_i64_variance(&moments),
                                        .minimum = (double)moments.least,
                                        .maximum = (double)moments.greatest};
    return find_median(pool, walk, moments.least, moments.greatest, &statistics->median);
}

int forkfold_get_statistics(forkfold_pool *pool, const forkfold_numbers *numbers,
                            forkfold_statistics *statistics)
{
    struct walk walk = {.numbers = *numbers};
    forkfold_statistics found;
    int code = check(pool, numbers, "f64 or i64", 1U << FORKFOLD_F64 | 1U << FORKFOLD_I64);

    if (code < 0)
        return code;
    if (numbers->count == 0)
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_INVALID,
                            "no numbers have no statistics");
    code = numbers->type == FORKFOLD_F64 ? float_statistics(pool, &walk, &found)
                                         : integer_statistics(pool, &walk, &found);
    if (code == 0)
        *statistics = found;
    return code;
}
