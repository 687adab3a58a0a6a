/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/shared_array.h"

#include <stdlib.h>

#include <forkfold/error.h>

#include "platform/available.h"
#include "platform/map.h"
#include "pool/call.h"

size_t forkfold_type_bytes(enum forkfold_type type)
{
    switch (type) {
    case FORKFOLD_RAW:
    case FORKFOLD_U8:
        return 1;
    case FORKFOLD_I32:
    case FORKFOLD_U32:
    case FORKFOLD_F32:
        return 4;
    case FORKFOLD_I64:
    case FORKFOLD_U64:
    case FORKFOLD_F64:
        return 8;
    }
    return 0;
}

static int check(forkfold_pool *pool, enum forkfold_type type, uint64_t count, uint64_t *bytes)
{
    uint64_t page = ff_page_bytes();
    int code = ff_call_check_process(pool);

    if (code < 0)
        return code;
    if (forkfold_type_bytes(type) == 0)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "%d is no type of elements",
                            (int)type);
    if (count == 0)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a shared array needs an element at least");
    if (__builtin_mul_overflow(count, forkfold_type_bytes(type), bytes) ||
        __builtin_add_overflow(*bytes, page - 1, bytes))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "%llu elements are larger than any memory", (unsigned long long)count);
    *bytes &= ~(page - 1);
    return 0;
}

/* Pages cost nothing before they are touched: what could never be filled would end in a kill. */
static int check_size(forkfold_pool *pool, uint64_t bytes)
{
    uint64_t room = pool->layout.shared.bytes;
    uint64_t memory = ff_machine_memory();

    if (bytes > room)
        return ff_error_set(&pool->error, FORKFOLD_E_LIMIT,
                            "a shared array of %llu bytes is larger than the %llu bytes that the "
                            "region has for all of them; raise the limit of address space "
                            "(ulimit -v) if there is one, or have it in a file",
                            (unsigned long long)bytes, (unsigned long long)room);
    if (bytes > memory)
        return ff_error_set(&pool->error, FORKFOLD_E_MEMORY,
                            "a shared array of %llu bytes is larger than the machine's memory of "
                            "%llu bytes; have it in a file, which may be larger",
                            (unsigned long long)bytes, (unsigned long long)memory);
    return 0;
}

static int open_array(forkfold_pool *pool, enum forkfold_type type, uint64_t count,
                      void *(*take)(struct ff_arena *arena, size_t bytes), forkfold_shared **result)
{
    struct ff_arena *arena = &pool->items.shared;
    uint64_t bytes = 0;
    int code = check(pool, type, count, &bytes);
    forkfold_shared *shared;

    if (code == 0)
        code = check_size(pool, bytes);
    if (code < 0)
        return code;
    shared = calloc(1, sizeof(*shared));
    if (shared == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory for a shared array");
    *shared = (forkfold_shared){.pool = pool, .type = type, .count = count};
    shared->area = (struct ff_area){.base = take(arena, bytes), .bytes = bytes};
    if (shared->area.base == NULL && pool->items.retired != NULL) {
        ff_items_drain(pool);
        shared->area.base = take(arena, bytes);
    }
    if (shared->area.base == NULL) {
        free(shared);
        return ff_error_set(&pool->error, FORKFOLD_E_LIMIT,
                            "the region has no room for a shared array of %llu bytes; close others "
                            "or raise the limit of address space (ulimit -v)",
                            (unsigned long long)bytes);
    }
    shared->data = shared->area.base;
    *result = shared;
    return 0;
}

int forkfold_shared_open(forkfold_pool *pool, enum forkfold_type type, uint64_t count,
                         forkfold_shared **result)
{
    return open_array(pool, type, count, ff_arena_take_zeroed, result);
}

int ff_shared_open_unset(forkfold_pool *pool, enum forkfold_type type, uint64_t count,
                         forkfold_shared **result)
{
    return open_array(pool, type, count, ff_arena_take, result);
}

void forkfold_shared_close(forkfold_shared *shared)
{
    if (shared == NULL)
        return;
    /*
     * In a forked child there is only the handle.  The pool's message may still be wanted.  A worker
     * that is being ended might still write to it: a file is gone when this returns, and waits for
     * that, but memory can wait by itself.
     */
    if (ff_pool_is_here(shared->pool)) {
        if (shared->path != NULL) {
            ff_items_drain(shared->pool);
            ff_shared_file_close(shared);
        } else {
            ff_items_retire(shared->pool, (struct ff_block){.arena = &shared->pool->items.shared,
                                                            .base = shared->area.base,
                                                            .bytes = shared->area.bytes});
        }
    }
    free(shared->path);
    free(shared);
}

void *forkfold_shared_data(const forkfold_shared *shared)
{
    return shared->data;
}

uint64_t forkfold_shared_count(const forkfold_shared *shared)
{
    return shared->count;
}

enum forkfold_type forkfold_shared_type(const forkfold_shared *shared)
{
    return shared->type;
}

bool ff_is_shared(const forkfold_pool *pool, const void *data, uint64_t bytes)
{
    const struct ff_area *area = &pool->layout.shared;
    uintptr_t start = (uintptr_t)data - (uintptr_t)area->base;

    if ((uintptr_t)data >= (uintptr_t)area->base && start <= area->bytes &&
        bytes <= area->bytes - start)
        return true;
    return ff_files_find(&pool->files, data, bytes) != NULL;
}

int ff_shared_check_output(forkfold_pool *pool, const void *data, uint64_t bytes)
{
    const struct forkfold_shared *file = ff_files_find(&pool->files, data, bytes);

    if (file == NULL || !file->is_read_only)
        return 0;
    return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                        "what is to be computed cannot go to a file that was opened to be read");
}

forkfold_shared ff_shared_pages(forkfold_pool *pool, const void *data, uint64_t bytes)
{
    uint64_t page = ff_page_bytes();
    char *base = pool->layout.shared.base;
    uint64_t first = (uint64_t)((const char *)data - base) & ~(page - 1);
    uint64_t end = ((uint64_t)((const char *)data - base) + bytes + page - 1) & ~(page - 1);

    return (forkfold_shared){.pool = pool,
                             .type = FORKFOLD_RAW,
                             .count = end - first,
                             .area = {.base = base + first, .bytes = end - first}};
}
