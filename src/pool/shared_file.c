/* SPDX-License-Identifier: Apache-2.0 */
/* Shared arrays in files: the driver's half of mapped files (files.h). */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <forkfold/error.h>

#include "platform/file.h"
#include "platform/kill_point.h"
#include "platform/map.h"
#include "pool/call.h"
#include "pool/failure.h"
#include "pool/shared_array.h"

/* So much of a path, from its end, is in messages. */
enum { PATH_SHOWN = 250 };

static const char *shown(const char *path)
{
    size_t length = strlen(path);

    return length > PATH_SHOWN ? path + length - PATH_SHOWN : path;
}

/* ---- Checking ------------------------------------------------------------ */

static int check(forkfold_pool *pool, const forkfold_file_options *options, uint64_t *bytes)
{
    size_t each;
    int code = ff_call_check_process(pool);

    if (code < 0)
        return code;
    if (options == NULL || (options->size != 0 && options->size != sizeof(*options)))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a file needs options of this version of the library");
    if (options->path == NULL || options->path[0] == '\0')
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "the file has no name");
    if ((unsigned)options->access > FORKFOLD_FILE_CREATE)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "%d is no way to open a file",
                            (int)options->access);
    each = forkfold_type_bytes(options->type);
    if (each == 0)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "%d is no type of elements",
                            (int)options->type);
    if (options->offset % each != 0)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "elements of %zu bytes cannot begin at byte %llu", each,
                            (unsigned long long)options->offset);
    if (options->access == FORKFOLD_FILE_CREATE && options->count == 0)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a new file needs the number of its elements");
    if (__builtin_mul_overflow(options->count, each, bytes) || options->offset > INT64_MAX ||
        *bytes > INT64_MAX - options->offset)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "%llu elements are larger than any file",
                            (unsigned long long)options->count);
    return 0;
}

/* What to do about an errno value. */
static const char *way_out(int cause, enum forkfold_file_access access)
{
    switch (cause) {
    case EEXIST:
        return "; remove it first, or open it to be written";
    case ENOSPC:
    case EDQUOT:
        return "; free space there, or name a file elsewhere";
    case EFBIG:
        return "; raise the limit of file sizes (ulimit -f), or name a file on a file system that "
               "takes larger ones";
    case EMFILE:
    case ENFILE:
        return "; raise the limit of open files (ulimit -n)";
    case EACCES:
    case EPERM:
    case EROFS:
        return access == FORKFOLD_FILE_READ
                   ? "; name one that may be read"
                   : "; name one that may be written, or open it to be read";
    default:
        return "";
    }
}

static int refuse(forkfold_pool *pool, const forkfold_file_options *options, const char *what)
{
    int cause = errno;
    int code = FORKFOLD_E_SYSTEM;

    if (cause == ENOENT || cause == ENOTDIR)
        code = FORKFOLD_E_NOT_FOUND;
    else if (cause == EEXIST || cause == EISDIR)
        code = FORKFOLD_E_INVALID;
    return ff_error_set(&pool->error, code, "cannot %s the file '%s': %s%s", what,
                        shown(options->path), strerror(cause), way_out(cause, options->access));
}

/* ---- The file ------------------------------------------------------------ */

/* How many elements a file that is there has to give: 0 with *bytes, or a code. */
static int measure(forkfold_pool *pool, const forkfold_file_options *options, int fd,
                   uint64_t *bytes)
{
    size_t each = forkfold_type_bytes(options->type);
    const char *path = shown(options->path);
    int64_t end;

    if (!ff_file_is_regular(fd))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "'%s' is no regular file", path);
    end = ff_file_end(fd);
    if (end < 0)
        return refuse(pool, options, "measure");
    if ((uint64_t)end <= options->offset || (uint64_t)end - options->offset < *bytes)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "the file '%s' has %lld bytes, too few for %llu elements of %zu bytes "
                            "from byte %llu on",
                            path, (long long)end,
                            (unsigned long long)(options->count > 0 ? options->count : 1), each,
                            (unsigned long long)options->offset);
    if (options->count > 0)
        return 0;
    *bytes = (uint64_t)end - options->offset;
    if (*bytes % each == 0)
        return 0;
    return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                        "the file '%s' ends within an element: from byte %llu on it has %llu "
                        "bytes; say how many elements to take",
                        path, (unsigned long long)options->offset, (unsigned long long)*bytes);
}

/* A descriptor, or a code. */
static int open_file(forkfold_pool *pool, const forkfold_file_options *options, uint64_t *bytes)
{
    static const enum ff_file_use uses[] = {[FORKFOLD_FILE_READ] = FF_FILE_READ,
                                            [FORKFOLD_FILE_WRITE] = FF_FILE_WRITE,
                                            [FORKFOLD_FILE_CREATE] = FF_FILE_MAKE};
    bool is_new = options->access == FORKFOLD_FILE_CREATE;
    int fd = ff_file_open(options->path, uses[options->access]);
    int code = 0;

    if (fd < 0)
        return refuse(pool, options, is_new ? "create" : "open");
    FF_KILL_POINT("driver.file.opened");
    if (!is_new)
        code = measure(pool, options, fd, bytes);
    else if (ff_file_allocate(fd, options->offset + *bytes) != 0)
        code = refuse(pool, options, "create");
    if (code == 0)
        return fd;
    close(fd);
    if (is_new)
        unlink(options->path);
    return code;
}

/* ---- The mapping --------------------------------------------------------- */

/* Nobody maps it from here on, and who has looked before looks again. */
static void withdraw(forkfold_pool *pool, unsigned number)
{
    struct ff_files_shared *files = pool->layout.files;

    ff_publish(&files->files[number].serial, 0);
    ff_publish(&files->changes, ff_peer_get(&files->changes) + 1);
}

/* Partners: read_entry() in files.c, for the order; ff_files_are_followed(), for the bump. */
static void publish(forkfold_pool *pool, const struct forkfold_shared *shared, uint64_t offset)
{
    struct ff_files_shared *files = pool->layout.files;
    struct ff_file_shared *entry = &files->files[shared->number];
    size_t length = strlen(shared->path);
    size_t cut = length < sizeof(entry->name) ? 0 : length - sizeof(entry->name) + 1;

    ff_publish(&entry->base, (uintptr_t)shared->area.base);
    ff_publish(&entry->bytes, shared->area.bytes);
    ff_publish(&entry->offset, offset);
    strcpy(entry->name, shared->path + cut);
    ff_publish(&entry->serial, shared->serial);
    FF_KILL_POINT("driver.file.published");
    ff_publish(&files->changes, ff_peer_get(&files->changes) + 1);
}

/* Once the addresses are nothing again; otherwise nobody gets them any more. */
static void give_addresses(forkfold_pool *pool, const struct ff_area *area)
{
    if (ff_map_vacate(area->base, area->bytes) != 0)
        return;
    ff_map_keep_from_children(area->base, area->bytes);
    ff_arena_give(&pool->files.addresses, area->base, area->bytes);
}

static int map_here(forkfold_pool *pool, const forkfold_file_options *options, int fd,
                    uint64_t offset, struct ff_area *area)
{
    area->base = ff_arena_take(&pool->files.addresses, area->bytes);
    if (area->base == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_LIMIT,
                            "too few addresses are left for %zu bytes of the file '%s'; close "
                            "others, or raise the limit of address space (ulimit -v) before the "
                            "pool is opened",
                            area->bytes, shown(options->path));
    if (ff_map_file(area->base, area->bytes, fd, offset, options->access != FORKFOLD_FILE_READ) ==
        0) {
        ff_map_keep_from_children(area->base, area->bytes);
        return 0;
    }
    (void)refuse(pool, options, "map");
    give_addresses(pool, area);
    return pool->error.code;
}

/* The supervisor hands it to the workers. */
static int hand_over(forkfold_pool *pool, const forkfold_file_options *options,
                     const struct forkfold_shared *shared, int fd)
{
    struct ff_question question = {
        .wish = FF_WISH_KEEP_FILE, .number = shared->number, .serial = shared->serial};
    int none = -1;

    if (ff_question_ask(&pool->asker, question, fd, &none) == 0)
        return 0;
    if (errno == EPIPE)
        return ff_error_set(&pool->error, FORKFOLD_E_SUPERVISOR,
                            "the pool's supervisor has died; close the pool and open another");
    return refuse(pool, options, "hand the workers");
}

/* ---- Opening and closing ------------------------------------------------- */

/* The first number that no open file has, or FORKFOLD_FILES_MAX. */
static unsigned find_number(const forkfold_pool *pool)
{
    unsigned number = 0;

    while (number < FORKFOLD_FILES_MAX && pool->files.open[number] != NULL)
        number++;
    return number;
}

/* With an array that has everything but its place. */
static int place(forkfold_pool *pool, const forkfold_file_options *options, int fd, uint64_t bytes,
                 struct forkfold_shared *shared)
{
    size_t page = ff_page_bytes();
    uint64_t before = options->offset & (page - 1);
    int code;

    shared->area.bytes = (before + bytes + page - 1) & ~(uint64_t)(page - 1);
    code = map_here(pool, options, fd, options->offset - before, &shared->area);
    if (code < 0)
        return code;
    shared->data = shared->area.base + before;
    code = hand_over(pool, options, shared, fd);
    if (code < 0)
        give_addresses(pool, &shared->area);
    else
        publish(pool, shared, options->offset - before);
    return code;
}

static void free_handle(struct forkfold_shared *shared)
{
    if (shared != NULL)
        free(shared->path);
    free(shared);
}

int forkfold_shared_open_file(forkfold_pool *pool, const forkfold_file_options *options,
                              forkfold_shared **result)
{
    uint64_t bytes = 0;
    int code = check(pool, options, &bytes);
    unsigned number = find_number(pool);
    forkfold_shared *shared;
    int fd;

    if (code < 0)
        return code;
    if (number == FORKFOLD_FILES_MAX)
        return ff_error_set(&pool->error, FORKFOLD_E_LIMIT, "a pool has %d files at most",
                            FORKFOLD_FILES_MAX);
    shared = calloc(1, sizeof(*shared));
    if (shared == NULL || (shared->path = strdup(options->path)) == NULL) {
        free_handle(shared);
        return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory for a shared array");
    }
    fd = open_file(pool, options, &bytes);
    if (fd < 0) {
        free_handle(shared);
        return fd;
    }
    shared->pool = pool;
    shared->type = options->type;
    shared->count = bytes / forkfold_type_bytes(options->type);
    shared->is_read_only = options->access == FORKFOLD_FILE_READ;
    shared->number = number;
    shared->serial = ++pool->files.last_serial;
    code = place(pool, options, fd, bytes, shared);
    close(fd);
    if (code < 0) {
        if (options->access == FORKFOLD_FILE_CREATE)
            unlink(options->path);
        free_handle(shared);
        return code;
    }
    pool->files.open[number] = shared;
    *result = shared;
    return 0;
}

void ff_shared_file_close(struct forkfold_shared *shared)
{
    forkfold_pool *pool = shared->pool;

    withdraw(pool, shared->number);
    ff_question_tell(&pool->asker, (struct ff_question){.wish = FF_WISH_FORGET_FILE,
                                                        .number = shared->number,
                                                        .serial = shared->serial});
    /* Those that sleep let go of it now, others when they have finished what they are at. */
    ff_layout_wake_workers(&pool->layout, UINT64_MAX);
    pool->files.open[shared->number] = NULL;
    give_addresses(pool, &shared->area);
}

int forkfold_shared_sync(const forkfold_shared *shared)
{
    int code = ff_call_check_process(shared->pool);

    if (code < 0 || shared->path == NULL)
        return code;
    if (ff_map_sync(shared->area.base, shared->area.bytes) == 0)
        return 0;
    return ff_error_set(&shared->pool->error, FORKFOLD_E_SYSTEM,
                        "cannot write the file '%s' to its disk: %s", shown(shared->path),
                        strerror(errno));
}

/* ---- Finding ------------------------------------------------------------- */

const struct forkfold_shared *ff_files_find(const struct ff_files *files, const void *data,
                                            uint64_t bytes)
{
    const struct ff_area *all = &files->addresses.area;

    if ((uintptr_t)data - (uintptr_t)all->base >= all->bytes)
        return NULL;
    for (unsigned i = 0; i < FORKFOLD_FILES_MAX; i++) {
        const struct forkfold_shared *shared = files->open[i];

        if (shared == NULL)
            continue;
        uintptr_t start = (uintptr_t)data - (uintptr_t)shared->area.base;

        if (start <= shared->area.bytes && bytes <= shared->area.bytes - start)
            return shared;
    }
    return NULL;
}

char *ff_shared_file_describe(const forkfold_pool *pool, const struct ff_quarantine *record)
{
    const struct forkfold_shared *shared = NULL;

    if (record->signal == SIGBUS && record->crash.has_address)
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): looked for, not followed */
        shared = ff_files_find(&pool->files, (const void *)(uintptr_t)record->crash.address, 1);
    if (shared == NULL)
        return ff_failure_describe(record);
    return ff_failure_text("a worker died of signal %d (%s) at address 0x%llx, in the file '%s': "
                           "it has become shorter, cannot be read, or its disk is full",
                           record->signal, strsignal(record->signal),
                           (unsigned long long)record->crash.address, shown(shared->path));
}
