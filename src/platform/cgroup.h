/* SPDX-License-Identifier: Apache-2.0 */
/* The control groups that limit this process. */
#ifndef FF_PLATFORM_CGROUP_H
#define FF_PLATFORM_CGROUP_H

#include <stdbool.h>

/*
 * Calls visit with the folder of this process's cgroup for a controller ("cpu", "memory"), and with
 * those of all cgroups above it.  Some may not exist: a container sees only its own as the root.
 * unified: the files there have the names of version 2, otherwise of version 1.
 */
void ff_cgroup_visit(const char *controller,
                     void (*visit)(const char *folder, bool unified, void *context), void *context);

#endif
