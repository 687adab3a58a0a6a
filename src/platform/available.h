/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FF_PLATFORM_AVAILABLE_H
#define FF_PLATFORM_AVAILABLE_H

#include <stdint.h>

/*
 * Bytes of memory that this process may use without swapping and without passing the limit of its
 * cgroup (v2 or v1) or of any above it; what is cached of files counts as available.
 * UINT64_MAX when the system does not tell.
 */
uint64_t ff_available_memory(void);

/* Bytes of memory and swap that the machine has; UINT64_MAX when the system does not tell. */
uint64_t ff_machine_memory(void);

/* Bytes of address space and of private memory that this process may have; UINT64_MAX: no limit. */
uint64_t ff_process_memory_limit(void);

#endif
