/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, LINE_BYTES = 2048 };

static FILE *open_file(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof(path), "%s/%s", folder, name);

    return length >= 0 && (size_t)length < sizeof(path) ? fopen(path, "re") : NULL;
}

int ff_cgroup_read(const char *folder, const char *name, long long numbers[2])
{
    FILE *file = open_file(folder, name);
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

bool ff_cgroup_read_line(const char *folder, const char *name, const char *word, long long *number)
{
    FILE *file = open_file(folder, name);
    char line[LINE_BYTES];
    size_t length = strlen(word);
    bool found = false;

    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        found = strncmp(line, word, length) == 0 && (line[length] == ' ' || line[length] == ':');
        if (found)
            *number = atoll(line + length + 1);
    }
    fclose(file);
    return found;
}

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

    if (groups == NULL)
        return;
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
