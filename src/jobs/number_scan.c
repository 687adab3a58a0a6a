/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled once for each kind of CPU; FF_NUMBER_VARIANT and FF_NUMBER_NAME say which this is. */
#include "jobs/number_scan.h"

#include <stdbool.h>
#include <string.h>

#include "jobs/order_key.h"

#if defined(__AVX512F__)
#include <immintrin.h>
enum { VECTOR_BYTES = 64 };
#elif defined(__AVX2__)
#include <immintrin.h>
enum { VECTOR_BYTES = 32 };
#else
enum { VECTOR_BYTES = 16 };
#endif

enum { LANES = VECTOR_BYTES / sizeof(double) };

typedef double vector __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t integers __attribute__((vector_size(VECTOR_BYTES)));
typedef float floats __attribute__((vector_size(VECTOR_BYTES / 2)));

_Static_assert(FF_NUMBER_BLOCK % LANES == 0 && FF_NUMBER_BLOCK / LANES <= 1 << FF_NUMBER_LANE_LOG2,
               "a lane takes more than the anchors have room for");
_Static_assert(__FLT_EVAL_METHOD__ == 0, "doubles are rounded to doubles at once");

static integers bits_of(vector numbers)
{
    integers bits;

    memcpy(&bits, &numbers, sizeof(bits));
    return bits;
}

/* 1.5 * 2^exponent; exponent is that of a normal number. */
static vector anchor_at(int exponent)
{
    uint64_t bits = (uint64_t)(exponent + 1023) << 52 | UINT64_C(1) << 51;
    double anchor;

    memcpy(&anchor, &bits, sizeof(anchor));
    return (vector){0} + anchor;
}

/* The sum takes of the numbers what is not below its last bit; returns the rest. */
static vector take(vector *sum, vector numbers)
{
    vector before = *sum;

    *sum = before + numbers;
    return numbers - (*sum - before);
}

/* Whether all sums had sign and exponent of their anchor; away collects the bits that differed. */
static bool stayed(integers away)
{
    int64_t all = 0;

    for (int i = 0; i < LANES; i++)
        all |= away[i];
    return (uint64_t)all >> 52 == 0;
}

/* Whether all rests were zero, of either sign. */
static bool is_nothing(integers rests)
{
    int64_t all = 0;

    for (int i = 0; i < LANES; i++)
        all |= rests[i];
    return (uint64_t)all << 1 == 0;
}

static int64_t over_lanes(integers numbers)
{
    int64_t total = 0;

    for (int i = 0; i < LANES; i++)
        total += numbers[i];
    return total;
}

static inline vector load(const char *numbers, size_t i, bool narrow)
{
    vector loaded;
    floats few;

    if (!narrow) {
        memcpy(&loaded, numbers + i * sizeof(double), sizeof(loaded));
        return loaded;
    }
    memcpy(&few, numbers + i * sizeof(float), sizeof(few));
    return __builtin_convertvector(few, vector);
}

/* ---- Sums of floating-point numbers -------------------------------------- */

static inline __attribute__((always_inline)) size_t scan_sum(const char *numbers, size_t blocks,
                                                             const struct ff_number_window *window,
                                                             struct ff_number_totals *totals,
                                                             bool narrow)
{
    const vector first = anchor_at(window->sum_exponent);
    const vector second = anchor_at(window->sum_exponent - FF_ANCHOR_STEP);
    const vector third = anchor_at(window->sum_exponent - 2 * FF_ANCHOR_STEP);
    integers taken[FF_SUM_ANCHORS] = {{0}};
    size_t done;

    for (done = 0; done < blocks; done++) {
        vector sums[FF_SUM_ANCHORS] = {first, second, third};
        integers away = {0};
        integers rests = {0};

        for (size_t i = 0; i < FF_NUMBER_BLOCK; i += LANES) {
            vector rest = take(&sums[0], load(numbers, done * FF_NUMBER_BLOCK + i, narrow));

            away |= bits_of(sums[0]) ^ bits_of(first);
            rest = take(&sums[1], rest);
            rest = take(&sums[2], rest);
            rests |= bits_of(rest);
        }
        if (!stayed(away) || !is_nothing(rests))
            break;
        taken[0] += bits_of(sums[0]) - bits_of(first);
        taken[1] += bits_of(sums[1]) - bits_of(second);
        taken[2] += bits_of(sums[2]) - bits_of(third);
    }
    for (int i = 0; i < FF_SUM_ANCHORS; i++)
        totals->sum[i] = over_lanes(taken[i]);
    return done;
}

static size_t sum_f64(const void *numbers, size_t blocks, const struct ff_number_window *window,
                      struct ff_number_totals *totals)
{
    return scan_sum(numbers, blocks, window, totals, false);
}

static size_t sum_f32(const void *numbers, size_t blocks, const struct ff_number_window *window,
                      struct ff_number_totals *totals)
{
    return scan_sum(numbers, blocks, window, totals, true);
}

/* ---- Sums of numbers and of their squares -------------------------------- */

#if defined(__AVX2__)

/* What the rounding of square, which is numbers * numbers, left over. */
static vector square_rest(vector numbers, vector square)
{
#if defined(__AVX512F__)
    return (vector)_mm512_fmsub_pd((__m512d)numbers, (__m512d)numbers, (__m512d)square);
#else
    return (vector)_mm256_fmsub_pd((__m256d)numbers, (__m256d)numbers, (__m256d)square);
#endif
}

static size_t squares_f64(const void *numbers, size_t blocks, const struct ff_number_window *window,
                          struct ff_number_totals *totals)
{
    enum { ALL = FF_SUM_ANCHORS + FF_SQUARE_ANCHORS, SQUARE = FF_SUM_ANCHORS };
    vector anchors[ALL];
    integers taken[ALL] = {{0}};
    size_t done;

    for (int i = 0; i < FF_SUM_ANCHORS; i++)
        anchors[i] = anchor_at(window->sum_exponent - i * FF_ANCHOR_STEP);
    for (int i = 0; i < FF_SQUARE_ANCHORS; i++)
        anchors[SQUARE + i] = anchor_at(window->square_exponent - i * FF_ANCHOR_STEP);
    for (done = 0; done < blocks; done++) {
        vector sums[ALL];
        integers away = {0};
        integers rests = {0};

        memcpy(sums, anchors, sizeof(sums));
        for (size_t i = 0; i < FF_NUMBER_BLOCK; i += LANES) {
            vector number = load(numbers, done * FF_NUMBER_BLOCK + i, false);
            vector square = number * number;
            vector low = square_rest(number, square);
            vector rest = take(&sums[0], number);

            away |= bits_of(sums[0]) ^ bits_of(anchors[0]);
            rests |= bits_of(take(&sums[2], take(&sums[1], rest)));
            rest = take(&sums[SQUARE], square);
            away |= bits_of(sums[SQUARE]) ^ bits_of(anchors[SQUARE]);
            rest = take(&sums[SQUARE + 2], take(&sums[SQUARE + 1], rest));
            rests |= bits_of(take(&sums[SQUARE + 3], rest));
            /* It is so small that the first anchor would take nothing. */
            rest = take(&sums[SQUARE + 2], take(&sums[SQUARE + 1], low));
            rests |= bits_of(take(&sums[SQUARE + 4], take(&sums[SQUARE + 3], rest)));
        }
        if (!stayed(away) || !is_nothing(rests))
            break;
        for (int i = 0; i < ALL; i++)
            taken[i] += bits_of(sums[i]) - bits_of(anchors[i]);
    }
    for (int i = 0; i < FF_SUM_ANCHORS; i++)
        totals->sum[i] = over_lanes(taken[i]);
    for (int i = 0; i < FF_SQUARE_ANCHORS; i++)
        totals->square[i] = over_lanes(taken[SQUARE + i]);
    return done;
}

#define SQUARES_F64 squares_f64

#else

/* Without a fused multiplication, splitting a product costs as much as multiplying integers. */
#define SQUARES_F64 NULL

#endif

/* ---- Extremes ------------------------------------------------------------ */

static void extremes_f64(const double *numbers, size_t count, int64_t *low, int64_t *high)
{
    int64_t least = *low;
    int64_t most = *high;

    for (size_t i = 0; i < count; i++) {
        int64_t key = ff_signed_key_f64(numbers[i]);

        least = key < least ? key : least;
        most = key > most ? key : most;
    }
    *low = least;
    *high = most;
}

static void extremes_i64(const int64_t *numbers, size_t count, int64_t *low, int64_t *high)
{
    int64_t least = *low;
    int64_t most = *high;

    for (size_t i = 0; i < count; i++) {
        least = numbers[i] < least ? numbers[i] : least;
        most = numbers[i] > most ? numbers[i] : most;
    }
    *low = least;
    *high = most;
}

/* ---- Sums of integers ---------------------------------------------------- */

/* So many that the sums of a run, and of what is added to each number, fit 63 bits. */
enum { INTEGER_RUN = 1 << 30 };

static void sum_i32(const int32_t *numbers, size_t count, ff_int128 *sum)
{
    while (count > 0) {
        size_t run = count < INTEGER_RUN ? count : INTEGER_RUN;
        int64_t total = 0;

        for (size_t i = 0; i < run; i++)
            total += numbers[i];
        *sum += total;
        numbers += run;
        count -= run;
    }
}

/* Upper and lower halves apart; 2^63 is added to each number so that all are positive. */
static void sum_i64(const int64_t *numbers, size_t count, ff_int128 *sum)
{
    const uint64_t bias = UINT64_C(1) << 63;

    while (count > 0) {
        size_t run = count < INTEGER_RUN ? count : INTEGER_RUN;
        uint64_t low = 0;
        uint64_t high = 0;

        for (size_t i = 0; i < run; i++) {
            uint64_t number = (uint64_t)numbers[i] ^ bias;

            low += (uint32_t)number;
            high += number >> 32;
        }
        *sum += (ff_int128)(((ff_uint128)high << 32) + low) - (ff_int128)((ff_uint128)run << 63);
        numbers += run;
        count -= run;
    }
}

/* Bytes as pairs: even and odd ones are added up in 16 bits, as often as those can take it. */
static uint64_t sum_byte_vectors(const uint8_t *numbers, size_t vectors)
{
    typedef uint16_t pairs __attribute__((vector_size(VECTOR_BYTES)));
    const pairs low = (pairs){0} + 0xFF;
    pairs sums = {0};
    uint64_t total = 0;

    for (size_t i = 0; i < vectors; i++) {
        pairs both;

        memcpy(&both, numbers + i * VECTOR_BYTES, sizeof(both));
        sums += (both & low) + (both >> 8);
    }
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
        total += sums[i];
    return total;
}

static void sum_u8(const uint8_t *numbers, size_t count, ff_int128 *sum)
{
    enum { VECTORS_MAX = UINT16_MAX / (2 * UINT8_MAX) };

    while (count >= VECTOR_BYTES) {
        size_t vectors = count / VECTOR_BYTES < VECTORS_MAX ? count / VECTOR_BYTES : VECTORS_MAX;

        *sum += sum_byte_vectors(numbers, vectors);
        numbers += vectors * VECTOR_BYTES;
        count -= vectors * VECTOR_BYTES;
    }
    for (size_t i = 0; i < count; i++)
        *sum += numbers[i];
}

const struct ff_number_variant FF_NUMBER_VARIANT = {.name = FF_NUMBER_NAME,
                                                    .sum_f64 = sum_f64,
                                                    .sum_f32 = sum_f32,
                                                    .squares_f64 = SQUARES_F64,
                                                    .extremes_f64 = extremes_f64,
                                                    .extremes_i64 = extremes_i64,
                                                    .sum_i32 = sum_i32,
                                                    .sum_i64 = sum_i64,
                                                    .sum_u8 = sum_u8};
