/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sieve kernel: prime numbers by a segmented sieve of Eratosthenes.
 *
 * Only numbers that are coprime to 30 have a bit (sieve_wheel.h), so 30 numbers take a byte.  A
 * segment that fits the cache starts as patterns in which the multiples of the smallest primes are
 * crossed off already (sieve_pattern.h); primes that hit it several times go over it in whole turns
 * of the wheel (sieve_turns.h); those that hit it less than about once wait in buckets for the
 * segment that they hit next (sieve_buckets.h).  What is left is counted, listed, or kept as bits.
 *
 * Base primes are found once for all workers and only read then.  Everything else is private to a
 * sieve: it has no globals and makes no system calls but for memory.
 *
 * For one array in order, filled by several workers: first each sieves its ranges into one map
 * (ff_sieve_map) and counts; the counts before a range say where its primes belong; then the map is
 * turned into numbers there (ff_sieve_map_list_u32), which costs a fraction of sieving.  Ranges that
 * are cut at multiples of 30 have maps that lie side by side.
 */
#ifndef FF_JOBS_SIEVE_H
#define FF_JOBS_SIEVE_H

#include <stddef.h>
#include <stdint.h>

/* ---- Base primes --------------------------------------------------------- */

/* Those up to the square root of a limit.  No pointers: it may lie in shared memory anywhere. */
struct ff_sieve_base {
    uint64_t limit; /* ranges may end here */
    uint64_t root;  /* the greatest number whose square is below limit, 0 for limits to 1 */
    uint8_t map[];  /* ff_sieve_map of [0, root + 1); those of the patterns may be missing */
};

/* The size of base primes, a multiple of 8: 1,072 bytes for 10^9, 143 MB for the greatest limit. */
size_t ff_sieve_base_bytes(uint64_t limit);

/*
 * Fills ff_sieve_base_bytes(limit) bytes, which are aligned for 64-bit words, whatever was there.
 * 0 or FORKFOLD_E_MEMORY.
 */
int ff_sieve_base_fill(struct ff_sieve_base *base, uint64_t limit);

/* ---- Sieving ------------------------------------------------------------- */

struct ff_sieve;

/*
 * base is borrowed until ff_sieve_close, and must not change.  Takes about 400 KB for limits to
 * 10^10 and 2.5 MB beyond; from 10^12 on also 8 bytes for each base prime that has multiples between
 * the range and the limit, 400 MB at 10^18.
 * 0 or FORKFOLD_E_MEMORY.
 */
int ff_sieve_open(struct ff_sieve **sieve, const struct ff_sieve_base *base);
void ff_sieve_close(struct ff_sieve *sieve); /* NULL is allowed */

/*
 * How many numbers a segment spans: 2 million for limits to 4 * 10^10, 16 million beyond.  A range
 * costs a division for each base prime up to the root of its end, unless it begins where the last
 * range of this sieve ended, after whole segments.  So a task is best a whole number of segments, and
 * many of them: 16 below 10^10, and as long as the root of the limit is, times 100, far beyond.
 */
uint64_t ff_sieve_segment_numbers(const struct ff_sieve *sieve);

/*
 * All ranges are [from, to).  Each function returns 0; FORKFOLD_E_INVALID when from > to, or to is
 * past the limit of the base primes; or FORKFOLD_E_MEMORY, after which the sieve can be used again.
 */

/* How many primes there are. */
int ff_sieve_count(struct ff_sieve *sieve, uint64_t from, uint64_t to, uint64_t *count);

/*
 * The primes in order.  FORKFOLD_E_LIMIT when there are more than capacity; FORKFOLD_E_INVALID when
 * u32 does not hold to - 1.  Whatever is returned, nothing behind capacity is touched, but all that
 * is before it may be.
 */
int ff_sieve_list_u32(struct ff_sieve *sieve, uint64_t from, uint64_t to, uint32_t *primes,
                      size_t capacity, uint64_t *count);
int ff_sieve_list_u64(struct ff_sieve *sieve, uint64_t from, uint64_t to, uint64_t *primes,
                      size_t capacity, uint64_t *count);

/* ---- Maps ---------------------------------------------------------------- */

/*
 * The primes but 2, 3 and 5 as bits, in ff_sieve_map_bytes(from, to) bytes: byte k speaks of 30
 * numbers from 30 * (from / 30 + k) on.  Bits of numbers outside the range are 0.  *count counts
 * all primes, those three included.
 */
int ff_sieve_map(struct ff_sieve *sieve, uint64_t from, uint64_t to, uint8_t *map, uint64_t *count);

/* 0 for from >= to. */
size_t ff_sieve_map_bytes(uint64_t from, uint64_t to);

/*
 * The primes of a map in order, 2, 3 and 5 where they are in the range.  The range is the one of
 * ff_sieve_map, or a part of it that is cut at multiples of 30; map points to its own bytes.
 * 0, FORKFOLD_E_INVALID, FORKFOLD_E_LIMIT as ff_sieve_list_u32.
 */
int ff_sieve_map_list_u32(const uint8_t *map, uint64_t from, uint64_t to, uint32_t *primes,
                          size_t capacity, uint64_t *count);
int ff_sieve_map_list_u64(const uint8_t *map, uint64_t from, uint64_t to, uint64_t *primes,
                          size_t capacity, uint64_t *count);

#endif
