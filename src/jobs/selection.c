/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/selection.h"

#include <stdbool.h>
#include <string.h>

#include <forkfold/error.h>

#include "jobs/exact_sum.h"
#include "jobs/order_key.h"
#include "jobs/wide.h"

enum { BUCKET_BITS = 11, OUTSIDE = 8 };

_Static_assert(1 << BUCKET_BITS == FF_SELECTION_BUCKETS, "a bucket for each value of the bits");

/* What the keys are made of; the last are such as were gathered. */
enum kind { KIND_F64, KIND_I64, KIND_KEY };

static inline __attribute__((always_inline)) uint64_t key_at(enum kind kind, const void *numbers,
                                                             size_t i)
{
    switch (kind) {
    case KIND_F64:
        return ff_order_key(ff_signed_key_f64(((const double *)numbers)[i]));
    case KIND_I64:
        return ff_order_key(((const int64_t *)numbers)[i]);
    case KIND_KEY:
        break;
    }
    return ((const uint64_t *)numbers)[i];
}

void ff_selection_init(struct ff_selection *selection, uint64_t least, uint64_t greatest,
                       uint64_t count, uint64_t rank)
{
    *selection =
        (struct ff_selection){.low = least, .high = greatest, .within = count, .rank = rank};
}

/* The width of a bucket is 2^shift keys. */
static unsigned bucket_shift(const struct ff_selection *selection)
{
    uint64_t span = selection->high - selection->low;
    unsigned bits = span > 0 ? 64 - (unsigned)__builtin_clzll(span) : 0;

    return bits > BUCKET_BITS ? bits - BUCKET_BITS : 0;
}

/*
 * Inlined, so that there is a loop for each kind.  What is out of range is counted too, past the
 * buckets, for a branch would often be guessed wrong; in several places in turn, since a counter
 * that was just stored is slow to load.
 */
static inline __attribute__((always_inline)) void count_any(const struct ff_selection *selection,
                                                            enum kind kind, const void *numbers,
                                                            size_t count, uint64_t *buckets)
{
    uint64_t counts[FF_SELECTION_BUCKETS + OUTSIDE] = {0};
    unsigned shift = bucket_shift(selection);
    uint64_t low = selection->low;
    uint64_t span = selection->high - low;

    for (size_t i = 0; i < count; i++) {
        uint64_t place = key_at(kind, numbers, i) - low;
        uint64_t outside = -(uint64_t)(place > span); /* all bits or none */

        counts[(place >> shift & ~outside) | ((FF_SELECTION_BUCKETS + i % OUTSIDE) & outside)]++;
    }
    for (size_t i = 0; i < FF_SELECTION_BUCKETS; i++)
        buckets[i] += counts[i];
}

void ff_selection_count_f64(const struct ff_selection *selection, const double *numbers,
                            size_t count, uint64_t *buckets)
{
    count_any(selection, KIND_F64, numbers, count, buckets);
}

void ff_selection_count_i64(const struct ff_selection *selection, const int64_t *numbers,
                            size_t count, uint64_t *buckets)
{
    count_any(selection, KIND_I64, numbers, count, buckets);
}

int ff_selection_narrow(struct ff_selection *selection, const uint64_t *buckets)
{
    unsigned shift = bucket_shift(selection);
    uint64_t span = selection->high - selection->low;
    uint64_t below = 0;
    uint64_t total = 0;
    size_t found = FF_SELECTION_BUCKETS;

    for (size_t i = 0; i < FF_SELECTION_BUCKETS; i++) {
        if (__builtin_add_overflow(total, buckets[i], &total))
            return FORKFOLD_E_DAMAGED;
        if (found == FF_SELECTION_BUCKETS && total > selection->rank) {
            found = i;
            below = total - buckets[i];
        }
    }
    /* Buckets that begin past the range stay empty. */
    if (total != selection->within || found == FF_SELECTION_BUCKETS || found > span >> shift)
        return FORKFOLD_E_DAMAGED;
    if (found < span >> shift)
        selection->high = selection->low + (((uint64_t)found + 1) << shift) - 1;
    selection->low += (uint64_t)found << shift;
    selection->within = buckets[found];
    selection->rank -= below;
    return 0;
}

/*
 * One test for what is within the range and for what is above it and less than all such before;
 * both are rare, so the branch is guessed well.
 */
static inline __attribute__((always_inline)) struct ff_gathered
gather_any(const struct ff_selection *selection, enum kind kind, const void *numbers, size_t count,
           uint64_t *keys, size_t capacity)
{
    struct ff_gathered gathered = {.count = 0, .above = UINT64_MAX};
    uint64_t low = selection->low;

    for (size_t i = 0; i < count; i++) {
        uint64_t key = key_at(kind, numbers, i);

        if (__builtin_expect(key - low > gathered.above - low, 1))
            continue;
        if (key > selection->high)
            gathered.above = key;
        else if (gathered.count++ < capacity)
            keys[gathered.count - 1] = key;
    }
    return gathered;
}

struct ff_gathered ff_selection_gather_f64(const struct ff_selection *selection,
                                           const double *numbers, size_t count, uint64_t *keys,
                                           size_t capacity)
{
    return gather_any(selection, KIND_F64, numbers, count, keys, capacity);
}

struct ff_gathered ff_selection_gather_i64(const struct ff_selection *selection,
                                           const int64_t *numbers, size_t count, uint64_t *keys,
                                           size_t capacity)
{
    return gather_any(selection, KIND_I64, numbers, count, keys, capacity);
}

static bool are_within(const struct ff_selection *selection, const uint64_t *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (keys[i] < selection->low || keys[i] > selection->high)
            return false;
    return true;
}

/* Of keys in memory. */
static int find(struct ff_selection selection, const uint64_t *keys, size_t count, uint64_t *found)
{
    while (selection.low < selection.high) {
        uint64_t buckets[FF_SELECTION_BUCKETS] = {0};
        int code;

        count_any(&selection, KIND_KEY, keys, count, buckets);
        code = ff_selection_narrow(&selection, buckets);
        if (code < 0)
            return code;
    }
    *found = selection.low;
    return 0;
}

int ff_selection_finish(const struct ff_selection *selection, const uint64_t *keys, size_t count,
                        uint64_t above, uint64_t *found, uint64_t *next)
{
    struct ff_selection following = *selection;
    uint64_t lower;
    uint64_t upper = above;
    int code;

    if (selection->low < selection->high &&
        (count != selection->within || !are_within(selection, keys, count)))
        return FORKFOLD_E_DAMAGED;
    code = find(*selection, keys, count, &lower);
    if (code == 0 && ++following.rank < following.within)
        code = find(following, keys, count, &upper);
    if (code < 0)
        return code;
    *found = lower;
    *next = upper;
    return 0;
}

double ff_median_f64(uint64_t lower, uint64_t upper)
{
    double both[2] = {ff_signed_key_to_f64(ff_order_key_to_signed(lower)),
                      ff_signed_key_to_f64(ff_order_key_to_signed(upper))};
    struct ff_exact_sum sum;

    if (lower == upper)
        return both[0];
    ff_exact_sum_init(&sum);
    ff_exact_sum_add_f64(&sum, both, 2);
    return ff_exact_sum_mean(&sum, 2);
}

double ff_median_i64(uint64_t lower, uint64_t upper)
{
    ff_int128 sum = (ff_int128)ff_order_key_to_signed(lower) + ff_order_key_to_signed(upper);
    ff_uint128 magnitude = sum < 0 ? -(ff_uint128)sum : (ff_uint128)sum;
    uint64_t words[2] = {(uint64_t)magnitude, (uint64_t)(magnitude >> 64)};
    double rounded = ff_wide_round(words, 2, -1, false);

    return sum < 0 ? -rounded : rounded;
}
