/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files for what does not fit in memory: one per slot, which its worker appends to and everybody
 * reads.
 *
 * A file must outlive the worker that wrote it and be gone when the pool is.  So the supervisor
 * opens it, without a name, when somebody asks, keeps it, and hands a descriptor to whoever wants
 * one: the driver, and each worker, has a channel to it.
 *
 *   worker or driver                        supervisor
 *     "the file of slot 3"  ---------------->  opens it, if it is not open yet
 *     waits                 <----------------  a descriptor, or why not
 *
 * Whoever waits is answered, or sees the channel close: if the supervisor dies, its workers do too,
 * and the driver reports it.  If a worker dies anywhere here, the next one of its slot asks again.
 */
#ifndef FF_POOL_SPILL_H
#define FF_POOL_SPILL_H

#include "pool/shared.h"

/* ---- Asking -------------------------------------------------------------- */

/* One process's own descriptors. */
struct ff_spill_files {
    int channel; /* to the supervisor */
    unsigned slots;
    int *descriptors; /* one per slot, -1 = not open; NULL before the first */
};

/*
 * A descriptor of the file of a slot, which is opened if there is none yet; it belongs to files.
 * -1 with errno: that of the supervisor, or EPIPE when it has died.
 */
int ff_spill_open(struct ff_spill_files *files, unsigned slot);

/* Empties all files.  0, or -1 with errno EPIPE when the supervisor has died. */
int ff_spill_empty(struct ff_spill_files *files);

void ff_spill_close(struct ff_spill_files *files);

/* ---- Answering ----------------------------------------------------------- */

/* The supervisor's descriptors, one per slot, -1 = not open. */
struct ff_spill_store {
    const struct ff_layout *layout;
    int *descriptors;
};

/* 0 or FORKFOLD_E_MEMORY. */
int ff_spill_store_open(struct ff_spill_store *store, const struct ff_layout *layout);

/* Answers what has been asked on a channel; false when its other end is closed. */
bool ff_spill_answer(struct ff_spill_store *store, int channel);

/* ---- Explaining ---------------------------------------------------------- */

/* The sentence for an errno value of a spill file, with the way out; what: "write", "read". */
void ff_spill_explain(const struct ff_layout *layout, const char *what, int system_error,
                      char *text, size_t text_bytes);

#endif
