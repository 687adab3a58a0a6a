/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading input files that other programs may change, shrink or remove at any
 * moment.  Whatever happens to a file is that file's failure; nothing here
 * maps files, so nothing here can fault.
 */
#ifndef FF_FILES_READ_H
#define FF_FILES_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "files/utf8.h"
#include "pool/job.h"

/* Which bytes a path stood for when it was looked at. */
struct ff_stamp {
    uint64_t size;
    int64_t mtime_ns;
    uint64_t inode;
    uint64_t device;
};

bool ff_stamp_equal(const struct ff_stamp *a, const struct ff_stamp *b);

/*
 * The folder of the file that was opened last: from the second one on its files are opened by their
 * names in it, without a walk from the root.  {.fd = -1} before the first.
 */
struct ff_read_folder {
    const char *path; /* as it was given, borrowed until another one is */
    int fd;           /* -1 = not open */
};

/*
 * Opens a file without ever blocking.  Its path is folder, which is empty or ends in '/', and then
 * name, without one; a folder is known by its address.  Returns the descriptor, which the caller
 * closes, or -1 with *failure filled.  It may be anything: ff_read_look tells.
 */
int ff_read_open(struct ff_read_folder *opened, const char *folder, const char *name,
                 struct ff_item_failure *failure);

void ff_read_leave(struct ff_read_folder *folder);

/* Says what the open file is now; false with *failure filled when it is not a regular one. */
bool ff_read_look(int fd, struct ff_stamp *now, struct ff_item_failure *failure);

/*
 * Reads a file that should have so many bytes into buffer, which has room for one more.  False when
 * it has not: nothing is known then.
 */
bool ff_read_expected(int fd, void *buffer, size_t count);

/* Whether the open file is still what the stamp says; otherwise *failure is filled. */
bool ff_read_verify(int fd, const struct ff_stamp *stamp, struct ff_item_failure *failure);

/* Up to count bytes at offset; fewer only at the end of the file.  -1 with *failure filled. */
int64_t ff_read_at(int fd, void *buffer, size_t count, uint64_t offset,
                   struct ff_item_failure *failure);

/* Up to count bytes of a stream; 0 only at its end.  -1 with *failure filled. */
int64_t ff_read_next(int fd, void *buffer, size_t count, struct ff_item_failure *failure);

/* Fills *failure. */
void ff_failure_set(struct ff_item_failure *failure, int reason, int system_error,
                    int64_t byte_offset, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Fills *failure for what is ill-formed at that byte of the input. */
void ff_failure_set_decoding(struct ff_item_failure *failure, uint64_t offset,
                             enum ff_utf8_kind kind);

#endif
