/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/futex.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Not the PRIVATE operations: the word lies in memory that several processes map. */

void ff_futex_wait(const ff_word32 *word, uint32_t snapshot)
{
    syscall(SYS_futex, word, FUTEX_WAIT, snapshot, NULL, NULL, 0);
}

void ff_futex_wake(ff_word32 *word, uint64_t count)
{
    int most = count < INT_MAX ? (int)count : INT_MAX;

    syscall(SYS_futex, word, FUTEX_WAKE, most, NULL, NULL, 0);
}
