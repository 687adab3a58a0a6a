/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast path of the word kernel: counts whole tokens, many at a time.
 *
 * It works on chunks that fit the first-level cache, in three passes:
 *   1. the kinds of all bytes as bits (byte_masks.h), and from them the
 *      places where words start and end;
 *   2. for each word its key, of at most 12 bytes, as it lies in a slot;
 *   3. for a batch of keys at a time, their hashes, prefetches of the slots
 *      where they belong, and then these.
 * Under the letters rule most tokens of ASCII text are one run of letters, with other signs before
 * or behind it.  The others, those with gaps or beyond ASCII, are found first, by adding up bits,
 * and their keys are built character by character.
 */
#ifndef FF_JOBS_WORD_SCAN_H
#define FF_JOBS_WORD_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "jobs/word_kernel.h"

/*
 * Counts whole tokens from the start of bytes, where one begins or white space
 * is.  *taken ends where a token begins that is not whole, that is too long for
 * a chunk, or in whose chunk something is ill-formed: the walk goes on there.
 * 0, FORKFOLD_E_MEMORY or FORKFOLD_E_LIMIT.
 */
typedef int ff_word_scan(struct ff_word_kernel *kernel, struct ff_table *table,
                         const unsigned char *bytes, size_t count, size_t *taken);

/* Whether all of it is well-formed UTF-8. */
typedef bool ff_utf8_check(const unsigned char *bytes, size_t count);

/* The same functions for different CPUs; meson.build compiles word_scan.c for each. */
ff_word_scan ff_word_scan_generic;
ff_utf8_check ff_utf8_check_generic;
#if defined(__x86_64__)
ff_word_scan ff_word_scan_avx2;
ff_word_scan ff_word_scan_avx512;
ff_utf8_check ff_utf8_check_avx2;
ff_utf8_check ff_utf8_check_avx512;
#endif

/* Below this many bytes the walk is as fast. */
enum { FF_SCAN_BYTES_MIN = 64, FF_SCAN_CHUNK_BYTES = 8192 };

#endif
