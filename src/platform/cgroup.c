/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/cgroup.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096, LINE_BYTES = 2048 };

static void visit_upwards(const char *root, const char *group, bool unified,
                          void (*visit)(const char *folder, bool unified, void *context),
                          void *context)
{
    char folder[PATH_BYTES];
    char above[LINE_BYTES];

    snprintf(above, sizeof(above), "%s", group);
    for (;;) {
        char *slash;

        if ((size_t)snprintf(folder, sizeof(folder), "%s%s", root, above) < sizeof(folder))
            visit(folder, unified, context);
        slash = strrchr(above, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

static bool is_listed(const char *controllers, const char *controller)
{
    size_t length = strlen(controller);

    for (const char *found = controllers; (found = strstr(found, controller)) != NULL;
         found += length) {
        bool starts = found == controllers || found[-1] == ',';

        if (starts && (found[length] == ',' || found[length] == '\0'))
            return true;
    }
    return false;
}

/* Version 1 mounts a controller under its own name, or together with others under all of theirs. */
static void visit_version_1(const char *controllers, const char *controller, const char *group,
                            void (*visit)(const char *folder, bool unified, void *context),
                            void *context)
{
    char root[PATH_BYTES];

    snprintf(root, sizeof(root), "/sys/fs/cgroup/%s", controller);
    visit_upwards(root, group, false, visit, context);
    if (strcmp(controllers, controller) == 0)
        return;
    snprintf(root, sizeof(root), "/sys/fs/cgroup/%s", controllers);
    visit_upwards(root, group, false, visit, context);
}

void ff_cgroup_visit(const char *controller,
                     void (*visit)(const char *folder, bool unified, void *context), void *context)
{
    FILE *groups = fopen("/proc/self/cgroup", "re");
    char line[LINE_BYTES];

    if (groups == NULL) {
        /* Without /proc: what a container sees as the root is its own. */
        visit_upwards("/sys/fs/cgroup", "", true, visit, context);
        visit_version_1(controller, controller, "", visit, context);
        return;
    }
    while (fgets(line, sizeof(line), groups) != NULL) {
        /* number:controllers:group; version 2 names no controllers */
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

        if (group == NULL)
            continue;
        line[strcspn(line, "\n")] = '\0';
        *controllers++ = '\0';
        *group++ = '\0';
        if (*controllers == '\0')
            visit_upwards("/sys/fs/cgroup", group, true, visit, context);
        else if (is_listed(controllers, controller))
            visit_version_1(controllers, controller, group, visit, context);
    }
    fclose(groups);
}
