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

#endif
