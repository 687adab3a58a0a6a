/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The number of a given rank among numbers that many processes read in parts, without sorting them.
 *
 * The search keeps a range of keys (order_key.h) that holds the wanted one.  A walk over the
 * numbers counts those within the range in buckets of equal width; the bucket where the rank falls
 * is the next range.  Each walk narrows it 2048 times, so that there are six at most.  Once few
 * enough numbers are within, one more walk gathers them, and the rest is done on the keys that it
 * found:
 *
 *   ff_selection_init         with the least and greatest number
 *   while ff_selection_is_wide
 *     ff_selection_count_*    each part, into its own buckets; those of all parts are added
 *     ff_selection_narrow
 *   ff_selection_gather_*     each part; the keys of all parts are put together in any order
 *   ff_selection_finish
 *
 * The result depends on the numbers only, not on how they are divided.  NaN has no rank: the caller
 * does not begin when there is one among the numbers.
 */
#ifndef FF_JOBS_SELECTION_H
#define FF_JOBS_SELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FF_SELECTION_BUCKETS = 2048 };

struct ff_selection {
    uint64_t low; /* the wanted key is within, both ends included */
    uint64_t high;
    uint64_t within; /* how many numbers are */
    uint64_t rank;   /* of the wanted one among them, from 0 */
};

/* What one part holds of the range. */
struct ff_gathered {
    uint64_t count; /* of keys within the range, also of those that did not fit */
    uint64_t above; /* the least key above the range, UINT64_MAX if there is none */
};

/* rank < count, and all count keys are from least to greatest, both among them. */
void ff_selection_init(struct ff_selection *selection, uint64_t least, uint64_t greatest,
                       uint64_t count, uint64_t rank);

/* Whether another walk has to narrow the range before no more than capacity keys are gathered. */
static inline bool ff_selection_is_wide(const struct ff_selection *selection, uint64_t capacity)
{
    return selection->low < selection->high && selection->within > capacity;
}

/* Adds to FF_SELECTION_BUCKETS counters. */
void ff_selection_count_f64(const struct ff_selection *selection, const double *numbers,
                            size_t count, uint64_t *buckets);
void ff_selection_count_i64(const struct ff_selection *selection, const int64_t *numbers,
                            size_t count, uint64_t *buckets);

/*
 * Makes the bucket with the rank the range.  0, or FORKFOLD_E_DAMAGED if the buckets do not add up
 * to the numbers within the range.
 */
int ff_selection_narrow(struct ff_selection *selection, const uint64_t *buckets);

/*
 * Puts the keys within the range into keys, at most capacity of them.  Of a range that is a single
 * key none are needed: 0 and NULL do.
 */
struct ff_gathered ff_selection_gather_f64(const struct ff_selection *selection,
                                           const double *numbers, size_t count, uint64_t *keys,
                                           size_t capacity);
struct ff_gathered ff_selection_gather_i64(const struct ff_selection *selection,
                                           const int64_t *numbers, size_t count, uint64_t *keys,
                                           size_t capacity);

/*
 * The key of the rank, and the next: equal to it where the numbers are, the least above the range
 * where the rank is the last within.  keys are those of all parts, count of them, above the least
 * of what they report above the range.  Where the range is a single key, keys are not needed and
 * not looked at.  0, or FORKFOLD_E_DAMAGED if keys are not selection->within keys within the range.
 */
int ff_selection_finish(const struct ff_selection *selection, const uint64_t *keys, size_t count,
                        uint64_t above, uint64_t *found, uint64_t *next);

/* ---- Medians ------------------------------------------------------------- */

/* The lower of the middle ones of count numbers. */
static inline uint64_t ff_median_rank(uint64_t count)
{
    return (count - 1) / 2;
}

/*
 * The mean of the two middle keys, rounded once; of an odd count both are that of the middle
 * number.  As Python's statistics.median, but that the sum of two doubles does not overflow here.
 * Infinities of both signs make NaN.
 */
double ff_median_f64(uint64_t lower, uint64_t upper);
double ff_median_i64(uint64_t lower, uint64_t upper);

#endif
