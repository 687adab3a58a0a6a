/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor: the one process that forks, watches and replaces workers.
 * Single-threaded, without user state, not on the data path.
 */
#ifndef FF_POOL_SUPERVISOR_H
#define FF_POOL_SUPERVISOR_H

#include <sys/types.h>

#include "pool/shared.h"

/* What the driver hands over at the fork. */
struct ff_supervisor_options {
    const struct ff_layout *layout;
    int lifeline;     /* read end of a pipe whose other end only the driver holds */
    int driver_pidfd; /* opened before the fork */
    int keep_fd;      /* for the workers, or -1 */
    int channel;      /* to the driver (question.h) */
};

/* Does not return: the process ends when the driver closes the pool or dies. */
_Noreturn void ff_supervisor_main(const struct ff_supervisor_options *options);

#endif
