/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of an area of the region, for one process: the driver, which hands them to calls and
 * takes them back.  What is known of them lies in that process's own memory, so that nothing which
 * a worker writes into a block can lead it astray.
 *
 * Sizes are rounded up to a quarter of a power of two, and a block that was given back serves the
 * next request of its size: memory that is shared costs most when it is first touched.
 */
#ifndef FF_MEMORY_ARENA_H
#define FF_MEMORY_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "memory/region.h"

enum { FF_ARENA_ALIGNMENT = 64, FF_ARENA_CLASSES = 9 * 64 };

/* Blocks of so much give their pages back with them, for nobody may want as much again. */
#define FF_ARENA_DISCARD_BYTES ((size_t)64 << 20)

struct ff_arena_list {
    void **blocks;
    size_t count;
    size_t capacity;
};

struct ff_arena {
    struct ff_area area;
    size_t used;    /* from the front: what has been handed out since everything was given back */
    size_t touched; /* likewise, ever: what is behind it is zero */
    size_t held;    /* bytes of blocks that are in use */
    struct ff_arena_list free[FF_ARENA_CLASSES];
};

void ff_arena_open(struct ff_arena *arena, struct ff_area area);
void ff_arena_close(struct ff_arena *arena); /* {0} is allowed */

/* Memory of at least bytes, 64-byte aligned, not cleared; NULL when the area has no room. */
void *ff_arena_take(struct ff_arena *arena, size_t bytes);

/* The same, all zero. */
void *ff_arena_take_zeroed(struct ff_arena *arena, size_t bytes);

/* Gives back what was taken with the same number of bytes; NULL is allowed. */
void ff_arena_give(struct ff_arena *arena, void *block, size_t bytes);

#endif
