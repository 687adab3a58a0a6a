/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region: the shared memory of a pool, reserved before the first fork, so
 * that it has the same address in all processes and pointers into it need no
 * translation.  It is carved once, when the pool is opened, into areas that
 * each have one writer; an area costs nothing until it is touched.
 */
#ifndef FF_MEMORY_REGION_H
#define FF_MEMORY_REGION_H

#include <stddef.h>

struct ff_region {
    char *base;
    size_t bytes;
    size_t carved;
};

/* A page-aligned part of the region. */
struct ff_area {
    char *base;
    size_t bytes;
};

/* 0 or -1 with errno. */
int ff_region_open(struct ff_region *region, size_t bytes, size_t least);
void ff_region_close(struct ff_region *region); /* {0} is allowed */

/* Children that are forked from now on do not have the region. */
void ff_region_keep_from_children(const struct ff_region *region);

/* What is still to be carved. */
size_t ff_region_left(const struct ff_region *region);

/* The next bytes, rounded up to pages; base is NULL when the region is too small. */
struct ff_area ff_region_carve(struct ff_region *region, size_t bytes);

/*
 * Leaves this process only the writable areas to write; all the rest of the
 * region is read-only for it from now on.  0 or -1 with errno.
 */
int ff_region_restrict(const struct ff_region *region, const struct ff_area *writable,
                       size_t count);

#endif
