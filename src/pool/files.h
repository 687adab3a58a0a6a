/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are mapped at the same addresses in the driver and in all workers.
 *
 * The addresses are reserved before the first fork, beside the region, and are nothing else: so
 * a range of them is only ever one file or another or nothing, and never memory.
 *
 *   driver                        supervisor                worker
 *   opens and maps the file
 *   "keep this as number n" ----> keeps a descriptor
 *                           <---- done
 *   publishes entry n
 *   changes + 1
 *   begins a call                                           sees, before its first item, that there
 *                                                           are changes; vacates what is closed
 *                                 <-----------------------  asks for what is new
 *                                 a descriptor ---------->  maps it, to be read only
 *
 * So it does not matter when a worker was born: each catches up with the entries before it runs what
 * might need them.  The driver clears an entry before it vacates and hands the addresses out
 * again; a worker that still has the old file there catches up before it runs a call that was begun
 * after that.
 */
#ifndef FF_POOL_FILES_H
#define FF_POOL_FILES_H

#include <stdbool.h>

#include <forkfold/shared.h>

#include "memory/arena.h"
#include "platform/atomic.h"
#include "pool/question.h"

enum { FF_FILE_NAME_BYTES = 120 };

/* Writer: the driver.  Another serial is another file, so what is read between two equal ones fits. */
struct ff_file_shared {
    ff_word64 serial; /* 0 while there is none */
    ff_word64 base;
    ff_word64 bytes; /* whole pages */
    ff_word64 offset;
    char name[FF_FILE_NAME_BYTES]; /* the end of its path, for messages; NUL-terminated */
};

/* Writer: the driver. */
struct ff_files_shared {
    ff_word64 changes; /* bumped after each */
    struct ff_file_shared files[FORKFOLD_FILES_MAX];
};

/* ---- In a worker --------------------------------------------------------- */

/* What it has mapped. */
struct ff_file_mapping {
    uint64_t serial; /* 0 = nothing */
    struct ff_area area;
};

struct ff_file_mappings {
    uint64_t followed; /* the changes that it has caught up with */
    uint64_t vacated;  /* likewise, but for new ones */
    struct ff_file_mapping files[FORKFOLD_FILES_MAX];
};

static inline bool ff_files_are_followed(const struct ff_files_shared *shared,
                                         const struct ff_file_mappings *mappings)
{
    /* Partner: the driver, which bumps it after the entry, and before it posts what needs it. */
    return ff_observe(&shared->changes) == mappings->followed;
}

/* Vacates what is closed, and maps what is new.  0, or -1 with errno and the number of the file. */
int ff_files_follow(const struct ff_files_shared *shared, struct ff_file_mappings *mappings,
                    const struct ff_asker *asker, unsigned *failed);

/* The first half of it, for a worker that has nothing to do: what is closed is not held on to. */
void ff_files_vacate(const struct ff_files_shared *shared, struct ff_file_mappings *mappings);

/* ---- In the supervisor --------------------------------------------------- */

struct ff_file_store {
    int descriptors[FORKFOLD_FILES_MAX];
    uint64_t serials[FORKFOLD_FILES_MAX]; /* 0 = no descriptor */
};

/* Keeps *given, which becomes -1.  0 or an errno value. */
int ff_file_store_keep(struct ff_file_store *store, const struct ff_question *question, int *given);
void ff_file_store_forget(struct ff_file_store *store, const struct ff_question *question);
/* The store's own descriptor, or -1 with errno: ESTALE when it is another file by now. */
int ff_file_store_find(const struct ff_file_store *store, const struct ff_question *question);

/* ---- In the driver ------------------------------------------------------- */

/* Part of the pool. */
struct ff_files {
    struct ff_arena addresses;
    uint64_t last_serial;
    struct forkfold_shared *open[FORKFOLD_FILES_MAX]; /* NULL = none */
};

/* The array whose file has that many bytes from data on; NULL when there is none. */
const struct forkfold_shared *ff_files_find(const struct ff_files *files, const void *data,
                                            uint64_t bytes);

#endif
