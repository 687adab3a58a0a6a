/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/arena.h"

#include <stdlib.h>
#include <string.h>

#include "platform/map.h"

void ff_arena_open(struct ff_arena *arena, struct ff_area area)
{
    *arena = (struct ff_arena){.area = area};
}

void ff_arena_close(struct ff_arena *arena)
{
    for (unsigned i = 0; i < FF_ARENA_CLASSES; i++)
        free(arena->free[i].blocks);
    *arena = (struct ff_arena){0};
}

/* The class of a request, and the bytes of its blocks; 0 when no block is that large. */
static size_t class_of(size_t bytes, unsigned *class)
{
    size_t quarter;
    unsigned shift = 0;
    size_t parts;

    if (bytes < FF_ARENA_ALIGNMENT)
        bytes = FF_ARENA_ALIGNMENT;
    if (bytes > SIZE_MAX / 8)
        return 0;
    while (bytes >> shift >= 8)
        shift++;
    quarter = (size_t)1 << shift;
    if (quarter < FF_ARENA_ALIGNMENT)
        quarter = FF_ARENA_ALIGNMENT;
    parts = (unsigned)((bytes + quarter - 1) / quarter);
    *class = 9 * shift + (unsigned)parts; /* at most 8 of them */
    return parts * quarter;
}

void *ff_arena_take(struct ff_arena *arena, size_t bytes)
{
    unsigned class = 0;
    size_t size = class_of(bytes, &class);
    struct ff_arena_list *list;
    void *block;

    if (size == 0)
        return NULL;
    list = &arena->free[class];
    if (list->count > 0) {
        arena->held += size;
        return list->blocks[--list->count];
    }
    if (size > arena->area.bytes - arena->used)
        return NULL;
    block = arena->area.base + arena->used;
    arena->used += size;
    if (arena->used > arena->touched)
        arena->touched = arena->used;
    arena->held += size;
    return block;
}

/* The whole pages of a block. */
static void discard(void *block, size_t size)
{
    size_t page = ff_page_bytes();
    size_t before = -(uintptr_t)block % page;

    ff_map_discard((char *)block + before, (size - before) & ~(page - 1));
}

void *ff_arena_take_zeroed(struct ff_arena *arena, size_t bytes)
{
    size_t touched = arena->touched;
    char *block = ff_arena_take(arena, bytes);
    size_t before;

    /* What nobody has had before is zero, and need not be touched for that. */
    if (block == NULL || block >= arena->area.base + touched)
        return block;
    if (bytes < FF_ARENA_DISCARD_BYTES) {
        memset(block, 0, bytes);
        return block;
    }
    /* Of a large one the pages are given back, which clears them and touches nothing. */
    before = -(uintptr_t)block % ff_page_bytes();
    discard(block, bytes);
    memset(block, 0, before);
    memset(block + bytes - (bytes - before) % ff_page_bytes(), 0,
           (bytes - before) % ff_page_bytes());
    return block;
}

void ff_arena_give(struct ff_arena *arena, void *block, size_t bytes)
{
    unsigned class = 0;
    size_t size = class_of(bytes, &class);
    struct ff_arena_list *list;

    if (block == NULL)
        return;
    arena->held -= size;
    if (bytes >= FF_ARENA_DISCARD_BYTES)
        discard(block, size);
    /* With everything given back it starts over. */
    if (arena->held == 0) {
        for (unsigned i = 0; i < FF_ARENA_CLASSES; i++)
            arena->free[i].count = 0;
        arena->used = 0;
        return;
    }
    list = &arena->free[class];
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? list->capacity * 2 : 16;
        void *grown = realloc(list->blocks, capacity * sizeof(*list->blocks));

        /* Then the block is lost until everything is given back. */
        if (grown == NULL)
            return;
        list->blocks = grown;
        list->capacity = capacity;
    }
    list->blocks[list->count++] = block;
}
