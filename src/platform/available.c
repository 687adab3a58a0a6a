/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/available.h"

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#include "platform/cgroup.h"
#include "platform/kernel_file.h"

static void lower(uint64_t *available, long long limit, long long used)
{
    uint64_t left = used < limit ? (uint64_t)(limit - used) : 0;

    if (left < *available)
        *available = left;
}

static void apply_limit(const char *folder, bool unified, void *context)
{
    long long limit[2];
    long long used[2];
    long long cached = 0;

    if (ff_kernel_file_numbers(folder, unified ? "memory.max" : "memory.limit_in_bytes", limit) <
            1 ||
        limit[0] < 0 ||
        ff_kernel_file_numbers(folder, unified ? "memory.current" : "memory.usage_in_bytes", used) <
            1)
        return;
    (void)ff_kernel_file_line(folder, "memory.stat",
                              unified ? "inactive_file" : "total_inactive_file", &cached);
    lower(context, limit[0], used[0] - cached);
}

/* Without /proc nobody tells how much of what is used could be freed: half of all is a guess. */
static uint64_t half_of_memory(void)
{
    struct sysinfo machine;

    return sysinfo(&machine) == 0 ? (uint64_t)machine.totalram * machine.mem_unit / 2 : UINT64_MAX;
}

uint64_t ff_available_memory(void)
{
    uint64_t available;
    long long kibibytes;

    if (ff_kernel_file_line("/proc", "meminfo", "MemAvailable", &kibibytes) && kibibytes >= 0)
        available = (uint64_t)kibibytes * 1024;
    else
        available = half_of_memory();
    ff_cgroup_visit("memory", apply_limit, &available);
    return available;
}

uint64_t ff_machine_memory(void)
{
    struct sysinfo machine;

    return sysinfo(&machine) == 0
               ? ((uint64_t)machine.totalram + machine.totalswap) * machine.mem_unit
               : UINT64_MAX;
}

uint64_t ff_process_memory_limit(void)
{
    uint64_t least = UINT64_MAX;
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        least = limit.rlim_cur;
    if (getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur < least)
        least = limit.rlim_cur;
    return least;
}
