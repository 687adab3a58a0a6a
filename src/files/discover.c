/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search is depth first and holds at most one directory open, so neither
 * wide nor deep trees run out of descriptors.
 *
 * Subdirectories met in the open directory wait on a stack.  A waiting one is
 * kept as its name and the length of its parent's path, which is enough: until
 * it is taken off the stack the search visits nothing but directories below
 * that parent, so the path buffer still begins with the parent's path.
 */
#include "files/discover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the steps of the search answer, beside negative codes. */
enum { NOTHING_YET = 0, FOUND = 1 };

/* Entries that are no input after which the caller is let go for a moment. */
enum { STEPS_MAX = 1024 };

struct buffer {
    char *bytes;
    size_t used;
    size_t size;
};

/* Follows the name and its NUL on the stack of waiting directories. */
struct waiting {
    size_t parent_bytes; /* of the path buffer: the parent's path with its '/' */
    size_t name_bytes;   /* without the NUL */
};

struct ff_discover {
    struct ff_discover_options options;
    locale_t c_locale;
    size_t next_path;       /* index of the next of options.paths */
    DIR *directory;         /* the one being listed, or NULL */
    size_t directory_bytes; /* its path, '/' included, at the start of path */
    struct buffer path;
    struct buffer waiting;
    uint64_t unmatched;
};

static bool reserve(struct buffer *buffer, size_t more)
{
    size_t size = buffer->used + more;
    char *grown;

    if (size <= buffer->size)
        return true;
    size += size / 2 + 256;
    grown = realloc(buffer->bytes, size);
    if (grown == NULL)
        return false;
    buffer->bytes = grown;
    buffer->size = size;
    return true;
}

static void append(struct buffer *buffer, const void *bytes, size_t count)
{
    memcpy(buffer->bytes + buffer->used, bytes, count);
    buffer->used += count;
}

/* Keeps the first kept bytes of the path and puts tail, NUL-terminated, behind them. */
static bool set_path(struct buffer *path, size_t kept, const char *tail)
{
    size_t tail_bytes = strlen(tail);

    path->used = kept;
    if (!reserve(path, tail_bytes + sizeof("/"))) /* so that end_in_slash cannot fail */
        return false;
    append(path, tail, tail_bytes + 1);
    path->used--;
    return true;
}

static void end_in_slash(struct buffer *path)
{
    if (path->used > 0 && path->bytes[path->used - 1] == '/')
        return;
    append(path, "/", sizeof("/"));
    path->used--;
}

static int report(struct ff_found *found, enum ff_found_kind kind, const char *path,
                  size_t path_bytes)
{
    *found = (struct ff_found){.kind = kind, .path = path, .path_bytes = path_bytes};
    return FOUND;
}

static int report_failed(struct ff_found *found, const char *path, size_t path_bytes,
                         int system_error)
{
    report(found, FF_FOUND_FAILED, path, path_bytes);
    found->system_error = system_error;
    return FOUND;
}

static int report_file(struct ff_found *found, const char *path, size_t path_bytes,
                       const struct stat *status)
{
    uint64_t seconds = (uint64_t)status->st_mtim.tv_sec;

    report(found, FF_FOUND_FILE, path, path_bytes);
    found->size = (uint64_t)status->st_size;
    found->device = (uint64_t)status->st_dev;
    found->inode = (uint64_t)status->st_ino;
    /* Unsigned, since some file systems hold times that do not fit in signed nanoseconds. */
    found->mtime_ns = (int64_t)(seconds * 1000000000U + (uint64_t)status->st_mtim.tv_nsec);
    return FOUND;
}

static int report_entry_failed(struct ff_discover *discover, const char *name, int system_error,
                               struct ff_found *found)
{
    if (!set_path(&discover->path, discover->directory_bytes, name))
        return FORKFOLD_E_MEMORY;
    return report_failed(found, discover->path.bytes, discover->path.used, system_error);
}

/*
 * Bytes against bytes, whatever locale the host has set: in a UTF-8 locale '?'
 * would match a whole character, and the result would depend on the environment.
 */
static bool glob_matches(const struct ff_discover *discover, const char *name)
{
    locale_t hosts = uselocale(discover->c_locale);
    int result = fnmatch(discover->options.glob, name, FNM_NOESCAPE);

    uselocale(hosts);
    return result == 0;
}

static int push_waiting(struct ff_discover *discover, const char *name)
{
    struct waiting entry = {.parent_bytes = discover->directory_bytes, .name_bytes = strlen(name)};

    if (!reserve(&discover->waiting, entry.name_bytes + 1 + sizeof(entry)))
        return FORKFOLD_E_MEMORY;
    append(&discover->waiting, name, entry.name_bytes + 1);
    append(&discover->waiting, &entry, sizeof(entry));
    return NOTHING_YET;
}

/* Starts to list the directory that the path buffer names. */
static int open_directory(struct ff_discover *discover, int extra_flags, struct ff_found *found)
{
    struct buffer *path = &discover->path;
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | extra_flags;
    int fd = TEMP_FAILURE_RETRY(open(path->bytes, flags));
    int system_error = errno;

    end_in_slash(path);
    if (fd < 0)
        return report_failed(found, path->bytes, path->used, system_error);
    discover->directory = fdopendir(fd);
    if (discover->directory == NULL) {
        system_error = errno;
        close(fd);
        return report_failed(found, path->bytes, path->used, system_error);
    }
    discover->directory_bytes = path->used;
    return NOTHING_YET;
}

static int open_waiting(struct ff_discover *discover, struct ff_found *found)
{
    struct buffer *stack = &discover->waiting;
    struct waiting entry;

    stack->used -= sizeof(entry);
    memcpy(&entry, stack->bytes + stack->used, sizeof(entry));
    stack->used -= entry.name_bytes + 1;
    if (!set_path(&discover->path, entry.parent_bytes, stack->bytes + stack->used))
        return FORKFOLD_E_MEMORY;
    /* It was no link when it was met.  One that is now is not entered either. */
    return open_directory(discover, O_NOFOLLOW, found);
}

/* A regular file, or a link to whatever it may be. */
static int visit_file(struct ff_discover *discover, const char *name, bool is_link,
                      struct ff_found *found)
{
    bool matches = glob_matches(discover, name);
    struct stat status;

    if (!matches && !is_link) {
        discover->unmatched++;
        return NOTHING_YET;
    }
    if (fstatat(dirfd(discover->directory), name, &status, 0) < 0) {
        /* Gone, or a link that leads nowhere: not a file, so nothing is missed. */
        if (!matches || errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
            return NOTHING_YET;
        return report_entry_failed(discover, name, errno, found);
    }
    if (!S_ISREG(status.st_mode))
        return NOTHING_YET;
    if (!matches) {
        discover->unmatched++;
        return NOTHING_YET;
    }
    if (!set_path(&discover->path, discover->directory_bytes, name))
        return FORKFOLD_E_MEMORY;
    if (discover->path.used >= PATH_MAX)
        return report_failed(found, discover->path.bytes, discover->path.used, ENAMETOOLONG);
    return report_file(found, discover->path.bytes, discover->path.used, &status);
}

static int visit_entry(struct ff_discover *discover, const struct dirent *entry,
                       struct ff_found *found)
{
    const char *name = entry->d_name;
    unsigned type = entry->d_type;

    if (name[0] == '.')
        return NOTHING_YET;
    if (type == DT_UNKNOWN) {
        struct stat status;

        if (fstatat(dirfd(discover->directory), name, &status, AT_SYMLINK_NOFOLLOW) == 0)
            type = IFTODT(status.st_mode);
        else if (errno == ENOENT || (!discover->options.recursive && !glob_matches(discover, name)))
            return NOTHING_YET;
        else
            return report_entry_failed(discover, name, errno, found);
    }
    switch (type) {
    case DT_DIR:
        return discover->options.recursive ? push_waiting(discover, name) : NOTHING_YET;
    case DT_REG:
    case DT_LNK:
        return visit_file(discover, name, type == DT_LNK, found);
    default:
        return NOTHING_YET;
    }
}

/* One entry of the open directory, or its end. */
static int list_on(struct ff_discover *discover, struct ff_found *found)
{
    const struct dirent *entry;
    int system_error;

    errno = 0;
    entry = readdir(discover->directory);
    if (entry != NULL)
        return visit_entry(discover, entry, found);
    system_error = errno;
    closedir(discover->directory);
    discover->directory = NULL;
    if (system_error == 0)
        return NOTHING_YET;
    return report_entry_failed(discover, "", system_error, found);
}

static int visit_path(struct ff_discover *discover, struct ff_found *found)
{
    const char *path = discover->options.paths[discover->next_path++];
    size_t path_bytes = strlen(path);
    bool is_file = discover->options.paths_are_files;
    struct stat status;

    if (!is_file && strcmp(path, "-") == 0)
        return report(found, FF_FOUND_STDIN, path, path_bytes);
    if (stat(path, &status) < 0)
        return report_failed(found, path, path_bytes, errno);
    if (S_ISREG(status.st_mode))
        return report_file(found, path, path_bytes, &status);
    if (!S_ISDIR(status.st_mode))
        return report_failed(found, path, path_bytes, EOPNOTSUPP);
    if (is_file)
        return report_failed(found, path, path_bytes, EISDIR);
    if (!set_path(&discover->path, 0, path))
        return FORKFOLD_E_MEMORY;
    return open_directory(discover, 0, found);
}

int ff_discover_next(struct ff_discover *discover, struct ff_found *found)
{
    int result = NOTHING_YET;

    for (unsigned steps = 0; result == NOTHING_YET; steps++) {
        if (steps == STEPS_MAX)
            return report(found, FF_FOUND_NOTHING, "", 0);
        if (discover->directory != NULL)
            result = list_on(discover, found);
        else if (discover->waiting.used > 0)
            result = open_waiting(discover, found);
        else if (discover->next_path < discover->options.path_count)
            result = visit_path(discover, found);
        else
            return 0;
    }
    return result;
}

uint64_t ff_discover_unmatched(const struct ff_discover *discover)
{
    return discover->unmatched;
}

/* The end of a long path, so that a message has room for the reason. */
struct shown_path {
    const char *before; /* "..." where the beginning is left out */
    const char *tail;
};

static struct shown_path show_path(const char *path)
{
    enum { SHOWN_BYTES = 256 };
    size_t bytes = strlen(path);

    if (bytes <= SHOWN_BYTES)
        return (struct shown_path){"", path};
    return (struct shown_path){"...", path + bytes - SHOWN_BYTES};
}

static const char *kind_of(mode_t mode)
{
    if (S_ISFIFO(mode))
        return "a FIFO";
    if (S_ISSOCK(mode))
        return "a socket";
    if (S_ISCHR(mode))
        return "a character device";
    if (S_ISBLK(mode))
        return "a block device";
    return "of an unknown kind";
}

static int refuse_missing(const char *path, struct ff_error *error)
{
    struct shown_path shown = show_path(path);
    struct stat status;

    if (lstat(path, &status) == 0 && S_ISLNK(status.st_mode))
        return ff_error_set(error, FORKFOLD_E_NOT_FOUND,
                            "cannot read '%s%s': it is a symbolic link to something that does not "
                            "exist; mend the link or name the file itself",
                            shown.before, shown.tail);
    return ff_error_set(error, FORKFOLD_E_NOT_FOUND,
                        "cannot read '%s%s': no such file or directory; check the spelling or run "
                        "it from the folder that holds it",
                        shown.before, shown.tail);
}

static int refuse(const char *path, int system_error, struct ff_error *error)
{
    struct shown_path shown = show_path(path);

    switch (system_error) {
    case ENOENT:
        return refuse_missing(path, error);
    case ENOTDIR:
        return ff_error_set(error, FORKFOLD_E_NOT_FOUND,
                            "cannot read '%s%s': a part of it before the last '/' is not a "
                            "directory; check the spelling",
                            shown.before, shown.tail);
    case EACCES:
        return ff_error_set(error, FORKFOLD_E_INVALID,
                            "cannot read '%s%s': permission denied in a directory on the way to "
                            "it; ask for search permission (x) there or run it as another user",
                            shown.before, shown.tail);
    default:
        return ff_error_set(error, FORKFOLD_E_INVALID,
                            "cannot read '%s%s': %s; check the path or leave it out", shown.before,
                            shown.tail, strerror(system_error));
    }
}

static int check_path(const char *path, struct ff_error *error)
{
    struct shown_path shown = show_path(path);
    struct stat status;

    if (strcmp(path, "-") == 0)
        return 0;
    if (stat(path, &status) < 0)
        return refuse(path, errno, error);
    if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))
        return 0;
    return ff_error_set(error, FORKFOLD_E_INVALID,
                        "cannot read '%s%s': it is %s, and only regular files, directories and - "
                        "are read; to read data from a pipe, send it to the standard input and "
                        "give - as the path",
                        shown.before, shown.tail, kind_of(status.st_mode));
}

static int check_paths(const struct ff_discover_options *options, struct ff_error *error)
{
    if (options->paths_are_files)
        return 0;
    for (size_t i = 0; i < options->path_count; i++) {
        int code = check_path(options->paths[i], error);

        if (code < 0)
            return code;
    }
    return 0;
}

int ff_discover_open(struct ff_discover **discover, const struct ff_discover_options *options,
                     struct ff_error *error)
{
    struct ff_discover *opened;
    int code = check_paths(options, error);

    if (code < 0)
        return code;
    opened = calloc(1, sizeof(*opened));
    if (opened != NULL)
        opened->c_locale = newlocale(LC_ALL_MASK, "C", NULL);
    if (opened == NULL || opened->c_locale == NULL) {
        free(opened);
        return ff_error_set(error, FORKFOLD_E_MEMORY,
                            "cannot look for files: the system has no memory left; end other "
                            "programs or use fewer workers");
    }
    opened->options = *options;
    *discover = opened;
    return 0;
}

void ff_discover_close(struct ff_discover *discover)
{
    if (discover == NULL)
        return;
    if (discover->directory != NULL)
        closedir(discover->directory);
    freelocale(discover->c_locale);
    free(discover->path.bytes);
    free(discover->waiting.bytes);
    free(discover);
}
