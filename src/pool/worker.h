/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: claims tasks, runs the job on their items, seals what it has. */
#ifndef FF_POOL_WORKER_H
#define FF_POOL_WORKER_H

#include <sys/types.h>

#include "pool/shared.h"

/* The exit code of a worker that ended itself; its crash record says why. */
enum { FF_WORKER_EXIT = 70 };

/* What the supervisor hands over at the fork. */
struct ff_worker_options {
    const struct ff_layout *layout;
    unsigned slot;
    pid_t supervisor;
    int keep_fd;         /* a descriptor that jobs may read, or -1 */
    int channel;         /* to the supervisor (question.h) */
    const int *host_fds; /* that jobs may use, too; what is -1 is none */
    unsigned host_fd_count;
};

/* The whole life of a worker, in a fresh child of the supervisor. */
_Noreturn void ff_worker_main(const struct ff_worker_options *options);

#endif
