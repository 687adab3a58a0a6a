/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FF_PLATFORM_CLOCK_H
#define FF_PLATFORM_CLOCK_H

#include <stdint.h>

#define FF_NS_PER_MS UINT64_C(1000000)
#define FF_NS_PER_S  UINT64_C(1000000000)

/* CLOCK_MONOTONIC, the same in every process of the machine; no system call. */
uint64_t ff_clock_ns(void);

/* User and system time of this thread; a system call. */
uint64_t ff_clock_cpu_ns(void);

/* A span beyond any life is none, 0: sums of times must not overflow. */
static inline uint64_t ff_clock_limit_ns(uint64_t span_ns)
{
    return span_ns <= UINT64_MAX / 4 ? span_ns : 0;
}

#endif
