/* SPDX-License-Identifier: Apache-2.0 */
#include "writer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { DIGITS_MAX = 20 };

void ff_cli_writer_start(struct ff_cli_writer *writer, int fd, char *buffer, size_t capacity)
{
    *writer = (struct ff_cli_writer){.fd = fd, .buffer = buffer, .capacity = capacity};
}

/* Another process may have made a shared pipe or terminal non-blocking. */
static void wait_until_writable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

    (void)poll(&poll_fd, 1, -1);
}

static int write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(fd, bytes, count);

        if (written >= 0) {
            bytes += written;
            count -= (size_t)written;
        } else if (errno == EAGAIN) {
            wait_until_writable(fd);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int ff_cli_writer_flush(struct ff_cli_writer *writer)
{
    if (writer->error == 0)
        writer->error = write_all(writer->fd, writer->buffer, writer->used);
    writer->used = 0;
    return writer->error;
}

void ff_cli_write(struct ff_cli_writer *writer, const void *bytes, size_t count)
{
    if (count > writer->capacity - writer->used)
        ff_cli_writer_flush(writer);
    if (writer->error != 0)
        return;
    if (count > writer->capacity) {
        writer->error = write_all(writer->fd, bytes, count);
        return;
    }
    memcpy(writer->buffer + writer->used, bytes, count);
    writer->used += count;
}

void ff_cli_write_text(struct ff_cli_writer *writer, const char *text)
{
    ff_cli_write(writer, text, strlen(text));
}

void ff_cli_write_number(struct ff_cli_writer *writer, uint64_t number)
{
    char digits[DIGITS_MAX];
    char *first = digits + sizeof(digits);

    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    ff_cli_write(writer, first, (size_t)(digits + sizeof(digits) - first));
}

void ff_cli_write_repeated(struct ff_cli_writer *writer, char byte, size_t count)
{
    while (count-- > 0)
        ff_cli_write(writer, &byte, 1);
}

size_t ff_cli_number_width(uint64_t number)
{
    size_t width = 1;

    for (; number >= 10; number /= 10)
        width++;
    return width;
}
