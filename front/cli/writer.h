/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buffered writer to a descriptor.  The first error sticks and silences all
 * later writes, so that formatting code checks once, at the flush.
 */
#ifndef FF_CLI_WRITER_H
#define FF_CLI_WRITER_H

#include <stddef.h>
#include <stdint.h>

struct ff_cli_writer {
    int fd;
    int error; /* errno of the first failed write, or 0 */
    size_t used;
    size_t capacity;
    char *buffer;
};

/* The caller keeps buffer alive; nothing needs closing. */
void ff_cli_writer_start(struct ff_cli_writer *writer, int fd, char *buffer, size_t capacity);

void ff_cli_write(struct ff_cli_writer *writer, const void *bytes, size_t count);

/* The same of one byte, for loops. */
static inline void ff_cli_write_byte(struct ff_cli_writer *writer, char byte)
{
    if (writer->error == 0 && writer->used < writer->capacity)
        writer->buffer[writer->used++] = byte;
    else
        ff_cli_write(writer, &byte, 1);
}

void ff_cli_write_text(struct ff_cli_writer *writer, const char *text);
void ff_cli_write_number(struct ff_cli_writer *writer, uint64_t number);
void ff_cli_write_repeated(struct ff_cli_writer *writer, char byte, size_t count);

/* Writes out what is buffered.  Returns 0 or the errno of the first error. */
int ff_cli_writer_flush(struct ff_cli_writer *writer);

/* The bytes that ff_cli_write_number() writes for number. */
size_t ff_cli_number_width(uint64_t number);

#endif
