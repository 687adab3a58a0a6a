/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/number_feed.h"

#include <string.h>

/* The peak of a block is the exponent of its largest number; |number| < 2^(peak + 1). */
enum {
    PEAK_BIAS = 1023,
    SPECIAL_EXPONENT = 0x7FF, /* stored with infinities and NaN */
    /* So far above what the numbers of a lane can add up to is an anchor. */
    ANCHOR_DISTANCE = 2 + FF_NUMBER_LANE_LOG2,
    ANCHOR_MAX = 1023,
    /* Lower, the last bit of the last anchor would be worth less than the smallest double. */
    ANCHOR_MIN = -1022 + (FF_SUM_ANCHORS - 1) * FF_ANCHOR_STEP,
    /*
     * With squares.  The least peak lets the last anchor of the sum refuse what is below 2^-425;
     * larger numbers have squares whose every bit a double can hold.  The greatest keeps the anchor
     * of the squares finite; a square that overflows leaves that anchor's binade.
     */
    SQUARE_PEAK_MIN = -300,
    SQUARE_PEAK_MAX = (ANCHOR_MAX - ANCHOR_DISTANCE - 1) / 2,
    /* While blocks are refused, more and more are not tried, up to this many. */
    SKIPPED_MAX = 31,
    /* Up to this many numbers are added faster one at a time than as a block. */
    SINGLES_MAX = 128
};

static int peak_of(const double *block)
{
    uint64_t largest = 0;

    for (size_t i = 0; i < FF_NUMBER_BLOCK; i++) {
        uint64_t bits;

        memcpy(&bits, &block[i], sizeof(bits));
        bits &= UINT64_MAX >> 1;
        largest = bits > largest ? bits : largest;
    }
    return (int)(largest >> 52) - PEAK_BIAS;
}

/* Aims the window at a block.  False where the scan cannot take numbers so large or so small. */
static bool aim(struct ff_number_feed *feed, const double *block)
{
    int peak = peak_of(block);
    int anchor;

    if (feed->squares) {
        /* Zeros fit any window; subnormals look like them here, and fit none. */
        if (peak == -PEAK_BIAS)
            peak = SQUARE_PEAK_MIN;
        if (peak < SQUARE_PEAK_MIN || peak > SQUARE_PEAK_MAX)
            return false;
        feed->window.square_exponent = 2 * peak + 1 + ANCHOR_DISTANCE;
    }
    anchor = peak + ANCHOR_DISTANCE;
    if (anchor > ANCHOR_MAX)
        return false;
    feed->window.sum_exponent = anchor < ANCHOR_MIN ? ANCHOR_MIN : anchor;
    return true;
}

static size_t scan(struct ff_number_feed *feed, ff_number_scan *scan_blocks, const void *numbers,
                   size_t blocks)
{
    struct ff_number_totals totals;
    size_t taken = scan_blocks(numbers, blocks, &feed->window, &totals);
    int bit = feed->window.sum_exponent - 52 - FF_EXACT_SUM_UNIT;

    if (taken == 0)
        return 0;
    for (int i = 0; i < FF_SUM_ANCHORS; i++)
        ff_wide_add_signed(feed->sum->words, FF_EXACT_SUM_WORDS,
                           (unsigned)(bit - i * FF_ANCHOR_STEP), totals.sum[i]);
    bit = feed->window.square_exponent - 52 - FF_SQUARE_SUM_UNIT;
    for (int i = 0; feed->squares && i < FF_SQUARE_ANCHORS; i++)
        ff_wide_add_signed(feed->squares, FF_SQUARE_SUM_WORDS, (unsigned)(bit - i * FF_ANCHOR_STEP),
                           totals.square[i]);
    return taken;
}

static uint64_t special_of(uint64_t bits)
{
    if (bits << 12 != 0)
        return FF_SUM_HAS_NAN;
    return bits >> 63 ? FF_SUM_HAS_MINUS_INFINITY : FF_SUM_HAS_INFINITY;
}

static void add_singly(struct ff_number_feed *feed, const double *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        uint64_t mantissa;
        unsigned exponent;
        unsigned normal;

        memcpy(&bits, &numbers[i], sizeof(bits));
        exponent = bits >> 52 & SPECIAL_EXPONENT;
        if (exponent == SPECIAL_EXPONENT) {
            feed->sum->specials |= special_of(bits);
            continue;
        }
        /* Subnormal numbers count the same unit as those of exponent 1, and have no leading bit. */
        normal = exponent > 0;
        exponent -= normal;
        mantissa = (bits & (UINT64_MAX >> 12)) | (uint64_t)normal << 52;
        ff_wide_add_at(bits >> 63 ? feed->negative : feed->positive, exponent, mantissa);
        if (feed->squares) {
            ff_uint128 square = (ff_uint128)mantissa * mantissa;

            ff_wide_add_at(feed->squares, 2 * exponent, (uint64_t)square);
            ff_wide_add_at(feed->squares, 2 * exponent + 64, (uint64_t)(square >> 64));
        }
    }
    feed->added_singly = true;
}

static ff_number_scan *scan_of_f64(const struct ff_number_feed *feed)
{
    return feed->squares ? feed->variant->squares_f64 : feed->variant->sum_f64;
}

/* A whole block that the window does not fit, or the last one: zeros follow the count numbers. */
static void add_block(struct ff_number_feed *feed, const double *block, size_t count)
{
    ff_number_scan *scan_blocks = scan_of_f64(feed);

    if (feed->to_skip > 0) {
        feed->to_skip--;
    } else if (count <= SINGLES_MAX) {
        /* Says nothing about later blocks. */
    } else if (scan_blocks && aim(feed, block) && scan(feed, scan_blocks, block, 1) == 1) {
        feed->skipped = 0;
        return;
    } else {
        feed->skipped = feed->skipped < SKIPPED_MAX ? 2 * feed->skipped + 1 : SKIPPED_MAX;
        feed->to_skip = feed->skipped;
    }
    add_singly(feed, block, count);
}

/* Copies numbers, and zeros up to a block. */
static void widen(double *block, const char *numbers, size_t size, size_t count)
{
    float narrow;

    memset(block, 0, FF_NUMBER_BLOCK * sizeof(*block));
    if (size == sizeof(*block))
        memcpy(block, numbers, count * size);
    for (size_t i = 0; size == sizeof(narrow) && i < count; i++) {
        memcpy(&narrow, numbers + i * size, size);
        block[i] = narrow;
    }
}

static void feed_numbers(struct ff_number_feed *feed, ff_number_scan *scan_blocks,
                         const char *numbers, size_t size, size_t count)
{
    double block[FF_NUMBER_BLOCK];

    while (count > 0) {
        size_t blocks = count / FF_NUMBER_BLOCK;
        size_t taken = 0;

        if (blocks > FF_NUMBER_BLOCKS_MAX)
            blocks = FF_NUMBER_BLOCKS_MAX;
        if (blocks > 0 && scan_blocks && feed->to_skip == 0)
            taken = scan(feed, scan_blocks, numbers, blocks) * FF_NUMBER_BLOCK;
        if (blocks == 0 || taken < blocks * FF_NUMBER_BLOCK) {
            size_t more = count - taken < FF_NUMBER_BLOCK ? count - taken : FF_NUMBER_BLOCK;

            widen(block, numbers + taken * size, size, more);
            add_block(feed, block, more);
            taken += more;
        }
        numbers += taken * size;
        count -= taken;
    }
}

void ff_number_feed_begin(struct ff_number_feed *feed, const struct ff_number_variant *variant,
                          struct ff_exact_sum *sum, uint64_t *squares)
{
    *feed = (struct ff_number_feed){
        .variant = variant,
        .sum = sum,
        .squares = squares,
        .window = {.sum_exponent = ANCHOR_DISTANCE, .square_exponent = 1 + ANCHOR_DISTANCE}};
    fegetenv(&feed->environment);
    fesetenv(FE_DFL_ENV);
}

void ff_number_feed_f64(struct ff_number_feed *feed, const double *numbers, size_t count)
{
    feed_numbers(feed, scan_of_f64(feed), (const char *)numbers, sizeof(*numbers), count);
}

void ff_number_feed_f32(struct ff_number_feed *feed, const float *numbers, size_t count)
{
    feed_numbers(feed, feed->variant->sum_f32, (const char *)numbers, sizeof(*numbers), count);
}

void ff_number_feed_end(struct ff_number_feed *feed)
{
    fesetenv(&feed->environment);
    if (!feed->added_singly)
        return;
    ff_wide_add(feed->sum->words, feed->positive, FF_EXACT_SUM_WORDS);
    ff_wide_subtract(feed->sum->words, feed->negative, FF_EXACT_SUM_WORDS);
}

const struct ff_number_variant *const *ff_number_variants(size_t *count)
{
    static const struct ff_number_variant *const variants[] = {
#if defined(__x86_64__)
        &ff_number_variant_avx512,
        &ff_number_variant_avx2,
#endif
        &ff_number_variant_generic
    };
    size_t all = sizeof(variants) / sizeof(variants[0]);
    size_t first = 0;

#if defined(__x86_64__)
    /* The very instructions that meson.build lets the compiler use. */
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f"))
        first = 1;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        first = 2;
#endif
    if (count)
        *count = all - first;
    return variants + first;
}
