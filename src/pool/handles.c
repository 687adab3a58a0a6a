/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/handles.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <forkfold/error.h>

#include "platform/map.h"
#include "pool/call.h"

static size_t bytes_of_handles(void)
{
    size_t page = ff_page_bytes();

    return (sizeof(struct ff_handles) + page - 1) & ~(page - 1);
}

/* The process that opened a pool last, of those that this one is a child of; each has its own. */
static ff_word64 opener;

bool ff_handles_of_others_are_here(void)
{
    return ff_worker_here() == NULL || ff_peer_get(&opener) == (uint64_t)getpid();
}

int ff_handles_open(struct ff_layout *layout)
{
    size_t bytes = bytes_of_handles();

    ff_own_set(&opener, (uint64_t)getpid());
    layout->handles = ff_map_reserve(&bytes, bytes);
    if (layout->handles == NULL)
        return FORKFOLD_E_MEMORY;
    ff_handles_lock(layout);
    return 0;
}

void ff_handles_close(struct ff_layout *layout)
{
    if (layout->handles != NULL)
        ff_map_release(layout->handles, bytes_of_handles());
    layout->handles = NULL;
}

int ff_handles_unlock(forkfold_pool *pool)
{
    if (ff_map_read_write(pool->layout.handles, bytes_of_handles()) == 0)
        return 0;
    return ff_error_set(&pool->error, FORKFOLD_E_SYSTEM,
                        "cannot change the protection of the pool's handles: %s", strerror(errno));
}

void ff_handles_lock(const struct ff_layout *layout)
{
    /* It fails only where a system cannot split a mapping, and then they can be written to. */
    (void)ff_map_read_only(layout->handles, bytes_of_handles());
}
