/* SPDX-License-Identifier: Apache-2.0 */
/* The whole text of one file after the other, in a buffer of the worker's. */
#ifndef FF_JOBS_FILE_TEXT_H
#define FF_JOBS_FILE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "files/read.h"

/* {.folder.fd = -1} is one without memory. */
struct ff_file_text {
    struct ff_read_folder folder; /* paths are borrowed from one file to the next */
    unsigned char *data;          /* bytes of it */
    size_t bytes;
    size_t room;
};

/*
 * Reads the file of a path, in two parts as for ff_read_open, that had so many bytes when it was
 * found; 0 = that is not known.  A NUL lies behind it.  FF_ITEM_DONE, FF_ITEM_FAILED with *failure,
 * or FORKFOLD_E_MEMORY.
 */
int ff_file_text_read(struct ff_file_text *text, const char *folder, const char *name,
                      uint64_t expected, struct ff_item_failure *failure);

/*
 * The same for an open file, but one that now has more than so many bytes is a failure, and of one
 * that does not say how many it has nothing is read: *is_stream.  There is no NUL behind it.
 */
int ff_file_text_fill(struct ff_file_text *text, int fd, uint64_t expected, uint64_t most,
                      bool *is_stream, struct ff_item_failure *failure);

/* Room for so many bytes and one more; what is there stays.  0 or FORKFOLD_E_MEMORY. */
int ff_file_text_reserve(struct ff_file_text *text, uint64_t bytes);

/* Whether it is UTF-8; otherwise *failure is filled. */
bool ff_file_text_is_utf8(const struct ff_file_text *text, struct ff_item_failure *failure);

void ff_file_text_free(struct ff_file_text *text);

#endif
