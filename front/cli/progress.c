/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "message.h"
#include "text.h"
#include "writer.h"

#define SECOND_NS   UINT64_C(1000000000)
#define REDRAW_NS   (SECOND_NS / 5)
#define LINE_NS     (5 * SECOND_NS)
#define COLUMNS_MAX 200

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

void ff_cli_progress_start(struct ff_cli_progress *progress, const struct ff_cli_options *options)
{
    bool terminal = isatty(STDERR_FILENO) == 1;
    bool wanted = options->progress == FF_CLI_PROGRESS_ALWAYS ||
                  (options->progress == FF_CLI_PROGRESS_AUTO && terminal && !options->quiet);

    *progress = (struct ff_cli_progress){.redraws = terminal, .started_ns = now_ns()};
    if (wanted)
        progress->interval_ns = terminal ? REDRAW_NS : LINE_NS;
}

/* A job in the background must not draw into what the user does in the foreground. */
static bool is_in_background(void)
{
    pid_t foreground = tcgetpgrp(STDERR_FILENO);

    return foreground > 0 && foreground != getpgrp();
}

static size_t terminal_columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2)
        return 80;
    return size.ws_col < COLUMNS_MAX ? size.ws_col : COLUMNS_MAX;
}

/* "12/40 files, 1.0 MiB of 3.5 MiB, 812.0 KiB/s, 2 failed"; a '+' while more may be found. */
static void describe(const struct ff_cli_progress *progress, const forkfold_progress *now,
                     char *text, size_t text_bytes)
{
    uint64_t worked_ns = now_ns() - progress->started_ns - progress->stopped_ns;
    double rate = worked_ns > 0 ? (double)now->bytes_done / (double)worked_ns * 1e9 : 0;
    const char *more = now->discovering ? "+" : "";
    char done[FF_CLI_SIZE_TEXT_BYTES];
    char found[FF_CLI_SIZE_TEXT_BYTES];
    char speed[FF_CLI_SIZE_TEXT_BYTES];
    int used;

    ff_cli_size_text(done, now->bytes_done);
    ff_cli_size_text(found, now->bytes_found);
    ff_cli_size_text(speed, (uint64_t)rate);
    used = snprintf(
        text, text_bytes, "%" PRIu64 "/%" PRIu64 "%s files, %s of %s%s, %s/s, %" PRIu64 " failed",
        now->files_done, now->files_found, more, done, found, more, speed, now->files_failed);
    if (now->deaths > 0 && used > 0 && (size_t)used < text_bytes)
        snprintf(text + used, text_bytes - (size_t)used, ", %" PRIu64 " workers died", now->deaths);
}

/* Overwrites the old line, its rest with spaces: no terminal needs to be known for that. */
static void redraw(struct ff_cli_progress *progress, const char *text)
{
    char buffer[512];
    struct ff_cli_writer writer;
    size_t length = strnlen(text, terminal_columns() - 1);

    ff_cli_writer_start(&writer, STDERR_FILENO, buffer, sizeof(buffer));
    ff_cli_write(&writer, "\r", 1);
    ff_cli_write(&writer, text, length);
    if (progress->drawn > length)
        ff_cli_write_repeated(&writer, ' ', progress->drawn - length);
    ff_cli_write(&writer, "\r", 1);
    (void)ff_cli_writer_flush(&writer);
    progress->drawn = length;
}

void ff_cli_progress_show(const forkfold_progress *now, void *context)
{
    struct ff_cli_progress *progress = context;
    char text[256];

    describe(progress, now, text, sizeof(text));
    if (!progress->redraws)
        ff_cli_message("%s", text);
    else if (!is_in_background())
        redraw(progress, text);
}

void ff_cli_progress_clear(struct ff_cli_progress *progress)
{
    if (progress->drawn > 0)
        redraw(progress, "");
}

void ff_cli_progress_stopped_for(struct ff_cli_progress *progress, uint64_t nanoseconds)
{
    progress->stopped_ns += nanoseconds;
}
