/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/kernel_file.h"

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

int ff_kernel_file_numbers(const char *folder, const char *name, long long numbers[2])
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

bool ff_kernel_file_line(const char *folder, const char *name, const char *word, long long *number)
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
