/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/file_text.h"

#include <stdlib.h>
#include <unistd.h>

#include <forkfold/error.h>

#include "files/utf8.h"
#include "jobs/word_kernel.h"

enum {
    ROOM_MIN = 256 * 1024,
    /* Of memory that a large file took, more is given back before a small one is read. */
    ROOM_KEPT = 8 * 1024 * 1024,
    /* What is read at once of a file that does not know its size. */
    STREAM_BYTES = 64 * 1024
};

static void give_room_back(struct ff_file_text *text)
{
    free(text->data);
    text->data = NULL;
    text->room = 0;
}

int ff_file_text_reserve(struct ff_file_text *text, uint64_t bytes)
{
    size_t room = text->room * 2 > ROOM_MIN ? text->room * 2 : ROOM_MIN;
    unsigned char *grown;

    if (bytes < text->room)
        return 0;
    if (bytes >= SIZE_MAX / 2)
        return FORKFOLD_E_MEMORY;
    /* Of a size that is known nothing is left over; what grows step by step is doubled. */
    if (bytes >= room || text->bytes == 0)
        room = bytes + 1 > ROOM_MIN ? (size_t)bytes + 1 : ROOM_MIN;
    grown = realloc(text->data, room);
    if (grown == NULL)
        return FORKFOLD_E_MEMORY;
    text->data = grown;
    text->room = room;
    return 0;
}

/*
 * It is not as it was found: it may have changed, or it does not know its size.  What counts is the
 * file's own word, now.
 */
static int fill_other(struct ff_file_text *text, int fd, uint64_t most, bool *is_stream,
                      struct ff_item_failure *failure)
{
    struct ff_stamp now;
    int64_t got;
    int code;

    if (!ff_read_look(fd, &now, failure))
        return FF_ITEM_FAILED;
    *is_stream = now.size == 0;
    if (*is_stream)
        return FF_ITEM_DONE;
    if (now.size > most) {
        ff_failure_set(failure, FORKFOLD_REASON_CHANGED, 0, -1,
                       "it grew to %llu bytes before it was read", (unsigned long long)now.size);
        return FF_ITEM_FAILED;
    }
    code = ff_file_text_reserve(text, now.size);
    if (code < 0)
        return code;
    got = ff_read_at(fd, text->data, (size_t)now.size + 1, 0, failure);
    if (got < 0)
        return FF_ITEM_FAILED;
    text->bytes = (size_t)got;
    if ((uint64_t)got == now.size)
        return FF_ITEM_DONE;
    ff_failure_set(failure, FORKFOLD_REASON_CHANGED, 0, -1,
                   "it changed while it was read, from %llu to %s%lld bytes",
                   (unsigned long long)now.size, (uint64_t)got > now.size ? "at least " : "",
                   (long long)got);
    return FF_ITEM_FAILED;
}

/*
 * One system call for a file that is as it was found: what has that many bytes needs no second
 * look.  A file that turned into something else has another size, or none.
 */
int ff_file_text_fill(struct ff_file_text *text, int fd, uint64_t expected, uint64_t most,
                      bool *is_stream, struct ff_item_failure *failure)
{
    int code;

    *is_stream = false;
    text->bytes = 0;
    if (text->room > ROOM_KEPT && expected < text->room / 4)
        give_room_back(text);
    code = ff_file_text_reserve(text, expected);
    if (code < 0)
        return code;
    if (expected == 0 || !ff_read_expected(fd, text->data, (size_t)expected))
        return fill_other(text, fd, most, is_stream, failure);
    text->bytes = (size_t)expected;
    return FF_ITEM_DONE;
}

/* Files of some file systems, /proc for one, do not know their size. */
static int fill_from_stream(struct ff_file_text *text, int fd, struct ff_item_failure *failure)
{
    int64_t got;

    do {
        int code = ff_file_text_reserve(text, text->bytes + STREAM_BYTES);

        if (code < 0)
            return code;
        got = ff_read_next(fd, text->data + text->bytes, STREAM_BYTES, failure);
        if (got < 0)
            return FF_ITEM_FAILED;
        text->bytes += (size_t)got;
    } while (got > 0);
    return FF_ITEM_DONE;
}

int ff_file_text_read(struct ff_file_text *text, const char *folder, const char *name,
                      uint64_t expected, struct ff_item_failure *failure)
{
    int fd = ff_read_open(&text->folder, folder, name, failure);
    bool is_stream;
    int status;

    if (fd < 0)
        return FF_ITEM_FAILED;
    status = ff_file_text_fill(text, fd, expected, UINT64_MAX, &is_stream, failure);
    if (status == FF_ITEM_DONE && is_stream)
        status = fill_from_stream(text, fd, failure);
    close(fd);
    if (status == FF_ITEM_DONE)
        text->data[text->bytes] = '\0';
    return status;
}

bool ff_file_text_is_utf8(const struct ff_file_text *text, struct ff_item_failure *failure)
{
    struct ff_utf8_error bad;

    if (ff_scan_variant_named(NULL)->is_utf8(text->data, text->bytes) ||
        ff_utf8_validate(text->data, text->bytes, &bad))
        return true;
    ff_failure_set_decoding(failure, bad.offset, bad.kind);
    return false;
}

void ff_file_text_free(struct ff_file_text *text)
{
    give_room_back(text);
    ff_read_leave(&text->folder);
}
