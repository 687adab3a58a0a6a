/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dictionaries of a pool: what a handle of one (handles.h) says.
 *
 * Nobody has to look after a dictionary when a worker dies (memory/dictionary.h), so all that the
 * pool knows of them is this.  Slots and keys lie in the results area.
 */
#ifndef FF_POOL_DICTIONARIES_H
#define FF_POOL_DICTIONARIES_H

#include <stdbool.h>

#include <forkfold/dictionary.h>

#include "memory/dictionary.h"
#include "pool/shared.h"

/* What the driver reads one after the other; in its own memory. */
struct ff_dictionary_reading {
    struct ff_dictionary_entry *entries; /* by their keys; NULL before the first */
    size_t count;
    size_t next;
};

/* Writer: the driver. */
struct forkfold_dictionary {
    forkfold_pool *pool;            /* to the driver */
    const struct ff_layout *layout; /* the same address in all processes of the pool */
    bool is_open;
    struct ff_dictionary shared;
    size_t table_bytes; /* of words and slots, which are one block */
    struct ff_dictionary_reading *reading;
};

#endif
