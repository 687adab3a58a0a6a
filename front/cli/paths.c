/* SPDX-License-Identifier: Apache-2.0 */
#include "paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "message.h"

/* A whole list in memory, with one NUL after its last byte. */
struct list {
    char *bytes;
    size_t used;
    size_t capacity;
};

static bool make_room(struct list *list)
{
    size_t capacity = list->capacity == 0 ? 64 * 1024 : 2 * list->capacity;
    char *bytes;

    if (list->used + 1 < list->capacity)
        return true;
    bytes = realloc(list->bytes, capacity);
    if (bytes == NULL)
        return false;
    list->bytes = bytes;
    list->capacity = capacity;
    return true;
}

/* Returns 0 or an errno value. */
static int read_all(int fd, struct list *list)
{
    for (;;) {
        ssize_t count;

        if (!make_room(list))
            return ENOMEM;
        count = read(fd, list->bytes + list->used, list->capacity - list->used - 1);
        if (count > 0)
            list->used += (size_t)count;
        else if (count == 0)
            break;
        else if (errno != EINTR)
            return errno;
    }
    list->bytes[list->used] = '\0';
    return 0;
}

static int read_list(const char *name, struct list *list)
{
    bool from_stdin = strcmp(name, "-") == 0;
    int fd = from_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    int error;

    if (fd < 0)
        return ff_cli_usage_error("cannot open the list '%s' of --files-from: %s; name a readable "
                                  "file, or - for standard input",
                                  name, strerror(errno));
    error = read_all(fd, list);
    if (!from_stdin)
        close(fd);
    if (error == ENOMEM)
        return ff_cli_no_memory();
    if (error != 0)
        return ff_cli_usage_error("cannot read the list '%s' of --files-from: %s; nothing was "
                                  "counted",
                                  name, strerror(error));
    return 0;
}

/* Turns the terminators into NULs and returns how many names there are, empty ones not. */
static size_t split_list(struct list *list, char terminator)
{
    size_t names = 0;
    char before = '\0';

    for (size_t i = 0; i < list->used; i++) {
        if (list->bytes[i] == terminator)
            list->bytes[i] = '\0';
        names += before == '\0' && list->bytes[i] != '\0';
        before = list->bytes[i];
    }
    return names;
}

/* A list names files only, so that its "-" is a file of that name. */
static const char *list_name(const char *name)
{
    return strcmp(name, "-") == 0 ? "./-" : name;
}

static void add_list(struct ff_cli_paths *paths, const struct list *list)
{
    const char *end = list->bytes + list->used;

    for (const char *name = list->bytes; name < end; name += strlen(name) + 1) {
        if (*name != '\0')
            paths->names[paths->count++] = list_name(name);
    }
}

static int add_operands(struct ff_cli_paths *paths, const struct ff_cli_options *options)
{
    for (int i = 0; i < options->path_count; i++) {
        const char *path = options->paths[i];

        if (strcmp(path, "-") == 0) {
            if (paths->reads_stdin)
                return ff_cli_usage_error("'-' is given twice, but standard input can be read only "
                                          "once; give it once");
            if (options->files_from != NULL && strcmp(options->files_from, "-") == 0)
                return ff_cli_usage_error("'-' is given as a PATH, but --files-from reads standard "
                                          "input; leave out one of them");
            paths->reads_stdin = true;
        }
        paths->names[paths->count++] = path;
    }
    return 0;
}

int ff_cli_paths_gather(struct ff_cli_paths *paths, const struct ff_cli_options *options)
{
    struct list list = {0};
    char terminator = options->null_separated ? '\0' : '\n';
    size_t listed = 0;
    int code = 0;

    *paths = (struct ff_cli_paths){0};
    if (options->files_from != NULL) {
        code = read_list(options->files_from, &list);
        paths->list = list.bytes;
        if (code != 0)
            return code;
        if (terminator != '\0' && list.used > 0 && memchr(list.bytes, '\0', list.used) != NULL)
            return ff_cli_usage_error("the list '%s' of --files-from holds NUL bytes; give -0 if "
                                      "its names end in NUL",
                                      options->files_from);
        listed = split_list(&list, terminator);
    }
    paths->names = calloc((size_t)options->path_count + listed + 1, sizeof(*paths->names));
    if (paths->names == NULL)
        return ff_cli_no_memory();
    code = add_operands(paths, options);
    if (code == 0 && listed > 0)
        add_list(paths, &list);
    return code;
}

static bool is_directory(DIR *directory, const struct dirent *entry)
{
    struct stat status;

    if (entry->d_name[0] == '.')
        return false;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode);
}

static bool has_directories(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    bool has = false;

    if (directory == NULL)
        return false;
    while (!has && (entry = readdir(directory)) != NULL)
        has = is_directory(directory, entry);
    closedir(directory);
    return has;
}

bool ff_cli_paths_have_directories(const struct ff_cli_paths *paths)
{
    for (size_t i = 0; i < paths->count; i++)
        if (has_directories(paths->names[i]))
            return true;
    return false;
}

void ff_cli_paths_free(struct ff_cli_paths *paths)
{
    free(paths->names);
    free(paths->list);
    *paths = (struct ff_cli_paths){0};
}
