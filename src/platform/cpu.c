/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many CPUs this process may use: not how many the box has.  A container
 * is limited by its affinity mask, by the quota of its cgroup, or by that of
 * any cgroup above it.
 */
#include <forkfold/pool.h>

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "platform/cgroup.h"
#include "platform/kernel_file.h"

/* Where the kernel does not tell which of them this process may use. */
static unsigned online_cpus(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (unsigned)count : 1;
}

static unsigned affinity_cpus(void)
{
    /* The kernel's mask can be wider than cpu_set_t: grow until it fits. */
    for (size_t cpus = 1024; cpus <= (1U << 20); cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        size_t bytes = CPU_ALLOC_SIZE(cpus);
        int count = 0;

        if (set == NULL)
            break;
        if (sched_getaffinity(0, bytes, set) == 0)
            count = CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (count > 0)
            return (unsigned)count;
    }
    return online_cpus();
}

static void apply_quota(const char *folder, bool unified, void *context)
{
    unsigned *cpus = context;
    long long quota[2];
    long long period[2];
    unsigned long long allowed;

    if (unified) {
        if (ff_kernel_file_numbers(folder, "cpu.max", quota) != 2)
            return;
        period[0] = quota[1];
    } else if (ff_kernel_file_numbers(folder, "cpu.cfs_quota_us", quota) != 1 ||
               ff_kernel_file_numbers(folder, "cpu.cfs_period_us", period) != 1) {
        return;
    }
    if (quota[0] <= 0 || period[0] <= 0)
        return;
    allowed = ((unsigned long long)quota[0] + (unsigned long long)period[0] - 1) /
              (unsigned long long)period[0];
    if (allowed < *cpus)
        *cpus = (unsigned)allowed;
}

unsigned forkfold_available_cpus(void)
{
    unsigned cpus = affinity_cpus();

    ff_cgroup_visit("cpu", apply_quota, &cpus);
    return cpus;
}
