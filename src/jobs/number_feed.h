/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds numbers, and their squares if wanted, to exact sums: blocks by the scan (number_scan.h), and
 * those whose magnitudes differ by more than about 2^70 (the squares: 2^50) one number at a time.
 */
#ifndef FF_JOBS_NUMBER_FEED_H
#define FF_JOBS_NUMBER_FEED_H

#include <fenv.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jobs/exact_sum.h"
#include "jobs/number_scan.h"

/* A sum of squares counts 2^-2148, and has room for 2^64 times the square of the largest double. */
enum { FF_SQUARE_SUM_WORDS = 67, FF_SQUARE_SUM_UNIT = 2 * FF_EXACT_SUM_UNIT };

struct ff_number_feed {
    const struct ff_number_variant *variant;
    struct ff_exact_sum *sum;
    uint64_t *squares; /* FF_SQUARE_SUM_WORDS, or NULL if they are not wanted */
    struct ff_number_window window;
    unsigned to_skip; /* blocks not to try the scan on */
    unsigned skipped; /* how many that was after the last try */
    bool added_singly;
    /* What was added one at a time, the signs apart so that no sum ever borrows. */
    uint64_t positive[FF_EXACT_SUM_WORDS];
    uint64_t negative[FF_EXACT_SUM_WORDS];
    fenv_t environment; /* of the caller */
};

/*
 * From begin to end the floating-point environment of this thread is the default one, whatever
 * rounding, traps and flushing of subnormals the process has set; end puts it back.  sum and
 * squares are complete after the end.  What is infinite or NaN goes into sum->specials only.
 */
void ff_number_feed_begin(struct ff_number_feed *feed, const struct ff_number_variant *variant,
                          struct ff_exact_sum *sum, uint64_t *squares);
void ff_number_feed_f64(struct ff_number_feed *feed, const double *numbers, size_t count);
void ff_number_feed_f32(struct ff_number_feed *feed, const float *numbers, size_t count);
void ff_number_feed_end(struct ff_number_feed *feed);

#endif
