/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the input files, one at a time, so that work starts while directories
 * are still being listed.
 *
 * In directories: names that match the glob and do not start with '.', that
 * are regular files, symlinks to them included.  A FIFO, socket or device is
 * skipped, never opened.  Recursion does not enter hidden or symlinked
 * directories.  Paths that the caller names as files are always taken.
 *
 * Order: the paths as given; of each directory first its files, as the file
 * system lists them, then its subdirectories.  At most one directory is open
 * at a time.  To be used by one thread at a time.
 */
#ifndef FF_FILES_DISCOVER_H
#define FF_FILES_DISCOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/error.h"

struct ff_discover_options {
    const char *const *paths; /* borrowed until close */
    size_t path_count;
    bool paths_are_files; /* directories among the paths are then failures, "-" is a file */
    const char *glob;     /* never NULL, borrowed until close; *, ?, [seq] and [!seq] on the
                                 name's bytes in every locale, no escapes */
    bool recursive;
};

enum ff_found_kind {
    FF_FOUND_FILE,    /* a regular file with size, inode, device and mtime_ns */
    FF_FOUND_STDIN,   /* the path "-", unless paths_are_files */
    FF_FOUND_NOTHING, /* for some time: the caller may look after other things, and goes on */
    FF_FOUND_FAILED   /* cannot be listed or looked at: system_error says why */
};

struct ff_found {
    enum ff_found_kind kind;
    const char *path; /* NUL-terminated, lives until the next call; a directory that cannot be
                             listed ends in '/' */
    size_t path_bytes;
    uint64_t size; /* bytes */
    uint64_t device;
    uint64_t inode;
    int64_t mtime_ns; /* seconds * 10^9 + nanoseconds, modulo 2^64 */
    int system_error; /* errno value, 0 unless FF_FOUND_FAILED.  EISDIR: a directory where
                             paths are files; EOPNOTSUPP: a FIFO, socket or device was named;
                             ENAMETOOLONG: found, but too deep to be opened by its path */
};

struct ff_discover;

/*
 * Checks that every path exists and is a regular file or a directory (or
 * "-"), before anything is opened: FORKFOLD_E_NOT_FOUND or FORKFOLD_E_INVALID, the
 * sentence names the path and what to do.  With paths_are_files nothing is checked
 * here: such lists come from other programs, and a path that is gone is that file's
 * failure.  Then prepares the search (FORKFOLD_E_MEMORY).  The caller owns *discover.
 */
int ff_discover_open(struct ff_discover **discover, const struct ff_discover_options *options,
                     struct ff_error *error);

/*
 * 1 with *found filled, 0 at the end, or FORKFOLD_E_MEMORY, after which the search can only be
 * closed.  An entry of a directory that vanishes while it is looked at, or a link that leads
 * nowhere, is passed over; a path of the caller's that is gone by now is FF_FOUND_FAILED.
 */
int ff_discover_next(struct ff_discover *discover, struct ff_found *found);

/* Regular files met in directories whose names the glob left out (hidden ones do not count). */
uint64_t ff_discover_unmatched(const struct ff_discover *discover);

void ff_discover_close(struct ff_discover *discover); /* NULL is allowed */

#endif
