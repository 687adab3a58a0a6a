/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files for what does not fit in memory: one per slot, which its worker appends to and everybody
 * reads.
 *
 * A file must outlive the worker that wrote it and be gone when the pool is.  So the supervisor
 * opens it, without a name, when somebody asks (question.h), keeps it, and hands a descriptor to
 * whoever wants one: the driver, and each worker.
 */
#ifndef FF_POOL_SPILL_H
#define FF_POOL_SPILL_H

#include "pool/question.h"
#include "pool/shared.h"

/* ---- Asking -------------------------------------------------------------- */

/* One process's own descriptors. */
struct ff_spill_files {
    unsigned slots;
    int *descriptors; /* one per slot, -1 = not open; NULL before the first */
};

/*
 * A descriptor of the file of a slot, which is opened if there is none yet; it belongs to files.
 * -1 with errno: that of the supervisor, or EPIPE when it has died.
 */
int ff_spill_open(struct ff_spill_files *files, const struct ff_asker *asker, unsigned slot);

/* Empties all files.  0, or -1 with errno EPIPE when the supervisor has died. */
int ff_spill_empty(const struct ff_asker *asker);

void ff_spill_close(struct ff_spill_files *files);

/* ---- Answering ----------------------------------------------------------- */

/* The supervisor's descriptors, one per slot, -1 = not open. */
struct ff_spill_store {
    const struct ff_layout *layout;
    int *descriptors;
};

/* 0 or FORKFOLD_E_MEMORY. */
int ff_spill_store_open(struct ff_spill_store *store, const struct ff_layout *layout);

/* The descriptor of a slot's file, which stays the store's; -1 with errno. */
int ff_spill_store_file(struct ff_spill_store *store, unsigned slot);
void ff_spill_store_empty(struct ff_spill_store *store);

/* ---- Explaining ---------------------------------------------------------- */

/* The sentence for an errno value of a spill file, with the way out; what: "write", "read". */
void ff_spill_explain(const struct ff_layout *layout, const char *what, int system_error,
                      char *text, size_t text_bytes);

#endif
