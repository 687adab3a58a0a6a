/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast path of exact sums: blocks of numbers of similar magnitude, many numbers at a time.
 *
 * An anchor is 1.5 * 2^k.  Adding numbers to it that are small beside it rounds each to a multiple
 * of the last bit of the anchor, and what was rounded off can be computed exactly:
 *   sum = anchor + number, kept = sum - anchor, rest = number - kept.
 * The rest goes to a next, much smaller anchor, and so on.  As long as an anchor plus what it took
 * stays between 2^k and 2^(k+1), the bits of the sum minus those of the anchor are an integer, how
 * many times the last bit was taken.  So sums are exact, and the same in any order.  It works for a
 * block when
 *   - no sum left the binade of its anchor, and
 *   - after the last anchor the rest is zero,
 * and both are checked.  Where they do not hold the scan stops and the caller does something else.
 *
 * Rounding must be to the nearest, and subnormals be kept (number_feed.c sees to that).
 */
#ifndef FF_JOBS_NUMBER_SCAN_H
#define FF_JOBS_NUMBER_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "jobs/wide.h"

enum {
    FF_NUMBER_BLOCK = 1024,     /* numbers in a block */
    FF_NUMBER_BLOCKS_MAX = 128, /* of one call, so that the totals do not overflow */
    /* A lane takes at most 2^FF_NUMBER_LANE_LOG2 numbers of a block: two lanes are the fewest. */
    FF_NUMBER_LANE_LOG2 = 9,
    /*
     * From one anchor to the next, in powers of two: room for the rests of twice as many numbers,
     * for a square is two numbers, what was rounded off it being the second.
     */
    FF_ANCHOR_STEP = 52 - FF_NUMBER_LANE_LOG2 - 1,
    FF_SUM_ANCHORS = 3,
    FF_SQUARE_ANCHORS = 5
};

/* The k of the first anchor; the others follow in steps of FF_ANCHOR_STEP. */
struct ff_number_window {
    int sum_exponent;
    int square_exponent; /* not used by the scans without squares */
};

/* In units of the last bit of the anchor, which is 2^(k - 52). */
struct ff_number_totals {
    int64_t sum[FF_SUM_ANCHORS];
    int64_t square[FF_SQUARE_ANCHORS];
};

/*
 * Takes blocks from the start of numbers as long as they fit the window, and sets their totals.
 * Returns how many.  numbers need the alignment of their type only.
 */
typedef size_t ff_number_scan(const void *numbers, size_t blocks,
                              const struct ff_number_window *window,
                              struct ff_number_totals *totals);

/* Functions of one kind of CPU. */
struct ff_number_variant {
    const char *name;
    ff_number_scan *sum_f64;
    ff_number_scan *sum_f32;
    /*
     * Also the squares.  NULL where products cannot be split fast.  Exact only in windows that keep
     * what the rounding of a square leaves over from being subnormal.
     */
    ff_number_scan *squares_f64;
    /* Lowers *low and raises *high, as f64 keys in the signed order of order_key.h. */
    void (*extremes_f64)(const double *numbers, size_t count, int64_t *low, int64_t *high);
    void (*extremes_i64)(const int64_t *numbers, size_t count, int64_t *low, int64_t *high);
    /* Add to *sum.  2^64 numbers would not overflow it. */
    void (*sum_i32)(const int32_t *numbers, size_t count, ff_int128 *sum);
    void (*sum_i64)(const int64_t *numbers, size_t count, ff_int128 *sum);
    void (*sum_u8)(const uint8_t *numbers, size_t count, ff_int128 *sum);
};

/* meson.build compiles number_scan.c for each. */
extern const struct ff_number_variant ff_number_variant_generic;
#if defined(__x86_64__)
extern const struct ff_number_variant ff_number_variant_avx2;
extern const struct ff_number_variant ff_number_variant_avx512;
#endif

/* Those that this CPU can run, the fastest first. */
const struct ff_number_variant *const *ff_number_variants(size_t *count);

#endif
