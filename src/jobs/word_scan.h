/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast path of the word kernel: counts whole tokens, many at a time.
 *
 * It works on chunks that fit the first-level cache, in three passes:
 *   1. the kinds of all bytes as bits (byte_masks.h), and from them the
 *      places where tokens start and end;
 *   2. for each token its key, of at most 16 bytes in two registers, its hash,
 *      and a prefetch of the slot where it belongs;
 *   3. for a batch of keys at a time, the slots.
 * Tokens that do not fit that mould, for their length or because they hold
 * letters beyond ASCII, go through the kernel's own walk, one by one.
 */
#ifndef FF_JOBS_WORD_SCAN_H
#define FF_JOBS_WORD_SCAN_H

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

/* The same function for different CPUs; meson.build compiles word_scan.c for each. */
ff_word_scan ff_word_scan_generic;
#if defined(__x86_64__)
ff_word_scan ff_word_scan_avx2;
ff_word_scan ff_word_scan_avx512;
#endif

/* Below this many bytes the walk is as fast. */
enum { FF_SCAN_BYTES_MIN = 64, FF_SCAN_CHUNK_BYTES = 8192 };

#endif
