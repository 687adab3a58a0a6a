/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files for what does not fit in memory: one per slot, which its worker appends to and everybody
 * reads.
 *
 * A file must outlive the worker that wrote it and be gone when the pool is.  So the supervisor
 * opens it, without a name, when a worker asks, and keeps it; the others open it again by the
 * number that the supervisor has published.
 *
 *   worker                                  supervisor
 *     segment.wants_spill = 1
 *     ring the bell                           wakes up
 *     look at spills[slot]                    opens a file
 *     sleep while it is 0                     spills[slot] = descriptor, or why not
 *     open the file again                     wakes the worker
 *
 * If the worker dies anywhere here, the next one of its slot finds the file, or asks again.  If the
 * supervisor dies, its workers do too.
 */
#ifndef FF_POOL_SPILL_H
#define FF_POOL_SPILL_H

#include <sys/types.h>

#include "pool/shared.h"

/* The private half: one process's own descriptors. */
struct ff_spill_files {
    const struct ff_layout *layout;
    pid_t supervisor;
    int *descriptors; /* one per slot, -1 = not open; NULL before the first */
};

/*
 * A descriptor of the file of a slot, which somebody has asked for; it belongs to files.
 * -1 with errno; ENOENT when nobody has.
 */
int ff_spill_open(struct ff_spill_files *files, unsigned slot);

/* For the worker of the slot: the same, and asks for the file if there is none. */
int ff_spill_demand(struct ff_spill_files *files, unsigned slot);

void ff_spill_close(struct ff_spill_files *files);

/* For the supervisor: opens what workers wait for. */
void ff_spill_serve(const struct ff_layout *layout);

/* For the driver, between calls: empties the files, and forgets about failures to open one. */
void ff_spill_reset(struct ff_spill_files *files);

/* The sentence for an errno value of a spill file, with the way out; what: "write", "read". */
void ff_spill_explain(const struct ff_layout *layout, const char *what, int system_error,
                      char *text, size_t text_bytes);

#endif
