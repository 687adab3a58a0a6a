/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/futex.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"

/* Not the PRIVATE operations: the word lies in memory that several processes map. */

void ff_futex_wait(const ff_word32 *word, uint32_t snapshot, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / FF_NS_PER_S),
                             .tv_nsec = (long)(until_ns % FF_NS_PER_S)};

    syscall(SYS_futex, word, FUTEX_WAIT_BITSET, snapshot, until_ns != UINT64_MAX ? &until : NULL,
            NULL, FUTEX_BITSET_MATCH_ANY);
}

void ff_futex_wake(ff_word32 *word, uint64_t count)
{
    int most = count < INT_MAX ? (int)count : INT_MAX;

    syscall(SYS_futex, word, FUTEX_WAKE, most, NULL, NULL, 0);
}
