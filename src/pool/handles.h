/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handles of what workers use by its address, queues and dictionaries, in a mapping of their own.
 *
 * They do not lie in the region, which children of the host do not have: there they have to say that
 * they cannot be used.  So that no child, another pool's worker say, can write to them either, they
 * are read-only but for the moments in which the driver changes one.
 */
#ifndef FF_POOL_HANDLES_H
#define FF_POOL_HANDLES_H

#include "pool/dictionaries.h"
#include "pool/queues.h"
#include "pool/shared.h"

/*
 * Writer: the driver.  A worker knows a handle from what a call hands it, and the task of that is
 * posted after the handle was written, so it sees all of it.  A handle is changed again when no worker
 * is at a call that was closed before.  If the driver dies meanwhile, its pool ends, and nobody reads
 * what is half written.
 */
struct ff_handles {
    struct ff_queues_shared queues;
    struct forkfold_dictionary dictionaries[FORKFOLD_DICTIONARIES_MAX];
};

/* Their memory.  0 or FORKFOLD_E_MEMORY; closing what is not open is allowed. */
int ff_handles_open(struct ff_layout *layout);
void ff_handles_close(struct ff_layout *layout);

/* Whether a handle is one of these, which need not be there for that. */
static inline bool ff_handles_hold(const struct ff_layout *layout, const void *handle)
{
    return (uintptr_t)handle - (uintptr_t)layout->handles < sizeof(struct ff_handles);
}

/*
 * Whether this process may look at a handle that is none of its worker's pool.  In a worker those of
 * pools that its host opened later are not there, and at their addresses is anything or nothing; only
 * a worker that has opened pools of its own has to know better.
 */
bool ff_handles_of_others_are_here(void);

/* Around what the driver writes there.  0 or FORKFOLD_E_SYSTEM with the pool's error. */
int ff_handles_unlock(forkfold_pool *pool);
void ff_handles_lock(const struct ff_layout *layout);

#endif
