/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How two values of one key become one, in tables, folds and merges.
 *
 * Without a combiner (NULL) values are counts: they are above 0 and are added.  With one they are
 * signed numbers, written so that small ones are short and none is 0, which tables have for empty
 * slots: 0, -1, 1, -2, 2, ... are 1, 2, 3, 4, 5, ...  There is no place for INT64_MIN.  The order by
 * rank is therefore that of magnitudes.
 */
#ifndef FF_FLOW_COMBINER_H
#define FF_FLOW_COMBINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <forkfold/error.h>

enum ff_combination {
    FF_COMBINE_COUNTS,
    FF_COMBINE_SUM,
    FF_COMBINE_MIN,
    FF_COMBINE_MAX,
    FF_COMBINE_CALL
};

/* Lies in the region: the address of a function of the host's is every worker's, too. */
struct ff_combiner {
    enum ff_combination kind;
    int64_t (*call)(int64_t a, int64_t b); /* associative and commutative; FF_COMBINE_CALL */
};

#define FF_COMBINE_RANGE_TEXT                                                                      \
    "what the values of a key come to is not from -(2^63 - 1) to 2^63 - 1, in whole or in part"

/* As tables and folds want it. */
static inline const struct ff_combiner *
ff_combiner_unless_counts(const struct ff_combiner *combiner)
{
    return combiner->kind != FF_COMBINE_COUNTS ? combiner : NULL;
}

static inline uint64_t ff_value_encode(int64_t value)
{
    return ((uint64_t)value << 1 ^ -(uint64_t)(value < 0)) + 1;
}

static inline int64_t ff_value_decode(uint64_t code)
{
    return (int64_t)((code - 1) >> 1 ^ -((code - 1) & 1));
}

static inline int ff_combine_values(const struct ff_combiner *combiner, int64_t a, int64_t b,
                                    int64_t *result)
{
    switch (combiner->kind) {
    case FF_COMBINE_MIN:
        *result = a < b ? a : b;
        break;
    case FF_COMBINE_MAX:
        *result = a > b ? a : b;
        break;
    case FF_COMBINE_CALL:
        *result = combiner->call(a, b);
        break;
    default:
        if (__builtin_add_overflow(a, b, result))
            return FORKFOLD_E_RANGE;
        break;
    }
    return *result != INT64_MIN ? 0 : FORKFOLD_E_RANGE;
}

/* 0 with *result; FORKFOLD_E_LIMIT when counts, and FORKFOLD_E_RANGE when values, pass 64 bits. */
static inline int ff_combine(const struct ff_combiner *combiner, uint64_t a, uint64_t b,
                             uint64_t *result)
{
    int64_t value = 0;
    int code;

    if (combiner == NULL)
        return __builtin_add_overflow(a, b, result) ? FORKFOLD_E_LIMIT : 0;
    code = ff_combine_values(combiner, ff_value_decode(a), ff_value_decode(b), &value);
    *result = ff_value_encode(value);
    return code;
}

#endif
