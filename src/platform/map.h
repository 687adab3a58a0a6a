/* SPDX-License-Identifier: Apache-2.0 */
/* Address space: reserving it, protecting it, giving its pages back. */
#ifndef FF_PLATFORM_MAP_H
#define FF_PLATFORM_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reserves shared, zeroed memory of at most *bytes, which children inherit at the same address.  No
 * page of it is used before it is touched, and core dumps leave it out.  Under a limit of the
 * address space it takes at most a quarter of the limit; when the system refuses, it halves the
 * wish down to least.  *bytes receives the size.  NULL with errno when even least is refused.
 *
 * Anonymous rather than a memfd: there is no descriptor to leak, and a limit
 * of file sizes does not end the process when memory grows.
 */
void *ff_map_reserve(size_t *bytes, size_t least);
void ff_map_release(void *address, size_t bytes);

/*
 * Reserves addresses for files to be mapped to, of which children inherit the same; they cannot be
 * read or written before.  Under a limit of the address space it takes at most a sixteenth of it;
 * otherwise as ff_map_reserve.
 */
void *ff_map_reserve_addresses(size_t *bytes, size_t least);

/*
 * Maps a part of a file there, in whole pages from a multiple of those on, shared by all who do the
 * same; to be read only, or written, too.  0 or -1 with errno.
 */
int ff_map_file(void *address, size_t bytes, int fd, uint64_t offset, bool is_writable);

/* Makes mere addresses of it again.  0 or -1 with errno. */
int ff_map_vacate(void *address, size_t bytes);

/* Returns when what was written to a mapped file is on its disk.  0 or -1 with errno. */
int ff_map_sync(void *address, size_t bytes);

/*
 * Private, zeroed memory in huge pages where the system has them, for tables that are read all over:
 * they need a tenth of the time to be touched first, and far fewer entries of the processor's
 * address caches.  NULL when there is none.
 */
void *ff_map_huge(size_t bytes);

/*
 * Private memory for arrays that may become large: from 2 MiB on it is that of ff_map_huge, below
 * that malloc's.  One that grows, to more bytes than it has, keeps what is in it, and if it is large,
 * its pages.  NULL is an array of no bytes, and the answer when there is no memory, after which the
 * old one is as it was.
 */
void *ff_map_grow(void *array, size_t bytes, size_t wanted);
void ff_map_free(void *array, size_t bytes);

/* 0 or -1 with errno. */
int ff_map_read_only(void *address, size_t bytes);
int ff_map_read_write(void *address, size_t bytes);

/* Children that are forked from now on do not have it. */
void ff_map_keep_from_children(void *address, size_t bytes);

/* Frees the pages of shared memory; it reads as zeroes afterwards, in every process. */
void ff_map_discard(void *address, size_t bytes);

size_t ff_page_bytes(void);

#endif
