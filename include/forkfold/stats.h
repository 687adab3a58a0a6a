/* SPDX-License-Identifier: Apache-2.0 */
/* How the work behind a result went. */
#ifndef FORKFOLD_STATS_H
#define FORKFOLD_STATS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Times in nanoseconds, sizes in bytes.  Times of workers are sums over all of them, so that
 * workers * wall_ns = busy_ns + wait_ns.
 */
typedef struct forkfold_stats {
    unsigned workers;
    uint64_t wall_ns;       /* from the begin of the pool's calls to their ends */
    uint64_t cpu_ns;        /* user and system time of driver and workers, dead ones included;
                            0 unless the call was told to measure */
    uint64_t busy_ns;       /* running items, claiming tasks, sealing */
    uint64_t wait_ns;       /* with nothing to do, or not there */
    uint64_t claim_ns;      /* part of busy_ns; extrapolated from one claim in 64 */
    uint64_t seal_ns;       /* part of busy_ns: writing and publishing results */
    uint64_t tasks;         /* claimed, again after deaths included */
    uint64_t seals;         /* published */
    uint64_t items;         /* that were run: files, pieces of files, ranges of the fold */
    uint64_t retries;       /* items started again after a death */
    uint64_t deaths;        /* of workers */
    uint64_t peak_bytes;    /* memory of driver and workers at their largest, shared pages once;
                            likewise */
    uint64_t spilled_bytes; /* written to disk because memory did not hold it */
} forkfold_stats;

#ifdef __cplusplus
}
#endif

#endif
