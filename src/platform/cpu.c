/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many CPUs this process may use: not how many the box has.  A container
 * is limited by its affinity mask, by the quota of its cgroup, or by that of
 * any cgroup above it.
 */
#include <forkfold/pool.h>

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    return 1;
}

/* Up to two numbers of a one-line file; "max" reads as -1.  Returns how many. */
static int read_numbers(const char *path, long long numbers[2])
{
    FILE *file = fopen(path, "re");
    char words[2][32] = {"", ""};
    int count;

    if (file == NULL)
        return 0;
    count = fscanf(file, "%31s %31s", words[0], words[1]);
    fclose(file);
    for (int i = 0; i < count; i++)
        numbers[i] = strcmp(words[i], "max") == 0 ? -1 : atoll(words[i]);
    return count < 0 ? 0 : count;
}

static void lower_to_quota(unsigned *cpus, long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return;
    unsigned long long allowed =
        ((unsigned long long)quota + (unsigned long long)period - 1) / (unsigned long long)period;

    if (allowed < *cpus)
        *cpus = allowed > 0 ? (unsigned)allowed : 1;
}

/* Applies the quota of the cgroup below root and of all those above it. */
static void apply_hierarchy(unsigned *cpus, const char *root, const char *group, bool unified)
{
    char path[4096];
    char above[2048];
    long long numbers[2];

    snprintf(above, sizeof(above), "%s", group);
    for (;;) {
        if (unified) {
            snprintf(path, sizeof(path), "%s%s/cpu.max", root, above);
            if (read_numbers(path, numbers) == 2)
                lower_to_quota(cpus, numbers[0], numbers[1]);
        } else {
            long long quota[2];

            snprintf(path, sizeof(path), "%s%s/cpu.cfs_quota_us", root, above);
            if (read_numbers(path, quota) == 1) {
                snprintf(path, sizeof(path), "%s%s/cpu.cfs_period_us", root, above);
                if (read_numbers(path, numbers) == 1)
                    lower_to_quota(cpus, quota[0], numbers[0]);
            }
        }
        char *slash = strrchr(above, '/');

        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

static bool names_cpu_controller(const char *controllers)
{
    const char *found = controllers;

    while ((found = strstr(found, "cpu")) != NULL) {
        bool starts = found == controllers || found[-1] == ',';

        if (starts && (found[3] == ',' || found[3] == '\0'))
            return true;
        found += 3;
    }
    return false;
}

unsigned forkfold_available_cpus(void)
{
    unsigned cpus = affinity_cpus();
    FILE *groups = fopen("/proc/self/cgroup", "re");
    char line[2048];

    if (groups == NULL)
        return cpus;
    while (fgets(line, sizeof(line), groups) != NULL) {
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

        if (group == NULL)
            continue;
        line[strcspn(line, "\n")] = '\0';
        *controllers++ = '\0';
        *group++ = '\0';
        if (*controllers == '\0') {
            apply_hierarchy(&cpus, "/sys/fs/cgroup", group, true);
        } else if (names_cpu_controller(controllers)) {
            apply_hierarchy(&cpus, "/sys/fs/cgroup/cpu", group, false);
            apply_hierarchy(&cpus, "/sys/fs/cgroup/cpu,cpuacct", group, false);
        }
    }
    fclose(groups);
    return cpus;
}
