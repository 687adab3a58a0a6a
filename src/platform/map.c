/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/map.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Parts of a limit of the address space. */
enum { MEMORY_PART = 4, ADDRESSES_PART = 16 };

static size_t allowed_bytes(size_t wish, unsigned part)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return wish;
    return limit.rlim_cur / part < wish ? (size_t)(limit.rlim_cur / part) : wish;
}

/* NULL with errno, or *bytes of addresses or somewhat less. */
static void *reserve(size_t *bytes, size_t least, int protection, int flags)
{
    size_t page = ff_page_bytes();

    errno = ENOMEM;
    for (size_t wish = *bytes; wish >= least; wish /= 2) {
        size_t rounded = wish & ~(page - 1);
        void *address =
            mmap(NULL, rounded, protection, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (address != MAP_FAILED) {
            *bytes = rounded;
            return address;
        }
        if (errno != ENOMEM && errno != EINVAL)
            return NULL;
    }
    return NULL;
}

void *ff_map_reserve(size_t *bytes, size_t least)
{
    size_t wish = allowed_bytes(*bytes, MEMORY_PART);
    void *address = reserve(&wish, least, PROT_READ | PROT_WRITE, MAP_SHARED);

    if (address == NULL)
        return NULL;
    /* Hints: without them the region works, dumps are larger and faults smaller. */
    (void)madvise(address, wish, MADV_DONTDUMP);
    (void)madvise(address, wish, MADV_HUGEPAGE);
    *bytes = wish;
    return address;
}

void *ff_map_reserve_addresses(size_t *bytes, size_t least)
{
    size_t wish = allowed_bytes(*bytes, ADDRESSES_PART);
    void *address = reserve(&wish, least, PROT_NONE, MAP_PRIVATE);

    if (address != NULL)
        *bytes = wish;
    return address;
}

int ff_map_file(void *address, size_t bytes, int fd, uint64_t offset, bool is_writable)
{
    int protection = PROT_READ | (is_writable ? PROT_WRITE : 0);

    return mmap(address, bytes, protection, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) == MAP_FAILED
               ? -1
               : 0;
}

int ff_map_vacate(void *address, size_t bytes)
{
    return mmap(address, bytes, PROT_NONE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE,
                -1, 0) == MAP_FAILED
               ? -1
               : 0;
}

int ff_map_sync(void *address, size_t bytes)
{
    return msync(address, bytes, MS_SYNC);
}

void ff_map_release(void *address, size_t bytes)
{
    munmap(address, bytes);
}

enum { HUGE_PAGE_BYTES = 2 << 20 };

void *ff_map_huge(size_t bytes)
{
    size_t page = ff_page_bytes();
    size_t rounded = (bytes + page - 1) & ~(page - 1);
    char *mapped = mmap(NULL, rounded + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (mapped == MAP_FAILED)
        return NULL;
    /* Only what lies on its boundaries can be a huge page. */
    before = -(uintptr_t)mapped % HUGE_PAGE_BYTES;
    if (before > 0)
        munmap(mapped, before);
    if (before < HUGE_PAGE_BYTES)
        munmap(mapped + before + rounded, HUGE_PAGE_BYTES - before);
    (void)madvise(mapped + before, rounded, MADV_HUGEPAGE);
    return mapped + before;
}

/* Whole huge pages: a mapping that another one continues must end with one. */
static size_t large_array_bytes(size_t bytes)
{
    return (bytes + HUGE_PAGE_BYTES - 1) & ~(size_t)(HUGE_PAGE_BYTES - 1);
}

void *ff_map_grow(void *array, size_t bytes, size_t wanted)
{
    size_t old = large_array_bytes(bytes);
    void *grown;

    if (wanted < HUGE_PAGE_BYTES)
        return realloc(array, wanted);
    grown = ff_map_huge(large_array_bytes(wanted));
    if (grown == NULL)
        return NULL;
    /* The old pages take the place of the first new ones. */
    if (bytes >= HUGE_PAGE_BYTES &&
        mremap(array, old, old, MREMAP_MAYMOVE | MREMAP_FIXED, grown) != MAP_FAILED)
        return grown;
    if (bytes > 0)
        memcpy(grown, array, bytes);
    ff_map_free(array, bytes);
    return grown;
}

void ff_map_free(void *array, size_t bytes)
{
    if (bytes < HUGE_PAGE_BYTES)
        free(array);
    else
        munmap(array, large_array_bytes(bytes));
}

int ff_map_read_only(void *address, size_t bytes)
{
    return mprotect(address, bytes, PROT_READ);
}

int ff_map_read_write(void *address, size_t bytes)
{
    return mprotect(address, bytes, PROT_READ | PROT_WRITE);
}

void ff_map_discard(void *address, size_t bytes)
{
    (void)madvise(address, bytes, MADV_REMOVE);
}

void ff_map_keep_from_children(void *address, size_t bytes)
{
    (void)madvise(address, bytes, MADV_DONTFORK);
}

size_t ff_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}
