/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping on a shared word.
 *
 * A sleeper takes a snapshot of the word, looks for work, announces that it
 * sleeps, and waits on the snapshot; a poster posts, bumps the word, and wakes
 * whoever announced.  The kernel compares the word with the snapshot, so a
 * bump between look and wait is not missed.  Nobody waits for one particular
 * process this way: the word can be bumped by more than one, and sleepers are
 * killed with their supervisor.
 */
#ifndef FF_PLATFORM_FUTEX_H
#define FF_PLATFORM_FUTEX_H

#include "platform/atomic.h"

/*
 * Returns when the word differs from snapshot, at that time of the monotonic clock (UINT64_MAX =
 * never), or earlier without a reason.
 */
void ff_futex_wait(const ff_word32 *word, uint32_t snapshot, uint64_t until_ns);

/* Wakes up to count of those who wait on the word. */
void ff_futex_wake(ff_word32 *word, uint64_t count);

#endif
