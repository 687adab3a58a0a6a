/* SPDX-License-Identifier: Apache-2.0 */
/* Files without names, shared between processes. */
#ifndef FF_PLATFORM_FILE_H
#define FF_PLATFORM_FILE_H

#include <stdint.h>
#include <sys/types.h>

/*
 * A new file in folder that has no name, so that it is gone with its last descriptor, whatever ends
 * the processes; open for reading and writing.  Where the file system knows no such files it has a
 * name for a moment.  -1 with errno.
 */
int ff_file_open_unnamed(const char *folder);

/* Where the next byte would be appended; -1 with errno. */
int64_t ff_file_end(int fd);

/* Gives the disk back what a part of the file took; where that cannot be done, later will do. */
void ff_file_discard(int fd, uint64_t offset, uint64_t bytes);

/* Empties the file. */
void ff_file_empty(int fd);

#endif
