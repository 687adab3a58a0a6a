/* SPDX-License-Identifier: Apache-2.0 */
/* Files that processes share: without names, or named by users. */
#ifndef FF_PLATFORM_FILE_H
#define FF_PLATFORM_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A new file in folder that has no name, so that it is gone with its last descriptor, whatever ends
 * the processes; open for reading and writing.  Where the file system knows no such files it has a
 * name for a moment.  -1 with errno.
 */
int ff_file_open_unnamed(const char *folder);

enum ff_file_use {
    FF_FILE_READ,
    FF_FILE_WRITE, /* and read */
    FF_FILE_MAKE   /* likewise; there must not be one */
};

/* Opens a file of any kind, without waiting for anything; above the standard descriptors.  -1 with errno. */
int ff_file_open(const char *path, enum ff_file_use use);

/* Whether it is a file as one thinks of it, and no folder, device or pipe. */
bool ff_file_is_regular(int fd);

/*
 * Makes the file so long, and takes the disk for it.  0 or -1 with errno; EFBIG also where the limit of
 * file sizes would raise a signal.
 */
int ff_file_allocate(int fd, uint64_t bytes);

/* Where the next byte would be appended; -1 with errno. */
int64_t ff_file_end(int fd);

/* Gives the disk back what a part of the file took; where that cannot be done, later will do. */
void ff_file_discard(int fd, uint64_t offset, uint64_t bytes);

/* Empties the file. */
void ff_file_empty(int fd);

#endif
