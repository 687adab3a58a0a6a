/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "message.h"
#include "terminal.h"
#include "text.h"
#include "writer.h"

#define SECOND_NS UINT64_C(1000000000)
#define REDRAW_NS (SECOND_NS / 5)
#define LINE_NS   (2 * SECOND_NS)

/* Looks this long ago weigh about a third of the newest: files of all sizes even out. */
#define SMOOTHING_SECONDS 3.0

/* A forecast beyond is a guess. */
#define LEFT_SECONDS_MAX (99 * 3600)

enum { PART_BYTES = 48 };

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

void ff_cli_progress_start(struct ff_cli_progress *progress, const struct ff_cli_options *options,
                           bool sizes_known)
{
    bool terminal = isatty(STDERR_FILENO) == 1;

    *progress = (struct ff_cli_progress){
        .shows = options->progress == FF_CLI_PROGRESS_ALWAYS ||
                 (options->progress == FF_CLI_PROGRESS_AUTO && terminal && !options->quiet),
        .redraws = terminal,
        .tells_deaths = options->verbose && !options->quiet,
        .sizes_known = sizes_known,
        .started_ns = now_ns(),
    };
    if (progress->shows || progress->tells_deaths)
        progress->interval_ns = terminal ? REDRAW_NS : LINE_NS;
}

/* A job in the background must not draw into what the user does in the foreground. */
static bool is_in_background(void)
{
    pid_t foreground = tcgetpgrp(STDERR_FILENO);

    return foreground > 0 && foreground != getpgrp();
}

/* ---- The text ------------------------------------------------------------ */

/* Bytes that a dead worker takes back count as none, not as less than none. */
static void take_look(struct ff_cli_progress *progress, uint64_t bytes_done, uint64_t worked_ns)
{
    double seconds = (double)(worked_ns - progress->worked_ns) / 1e9;
    double rate;

    if (worked_ns <= progress->worked_ns)
        return;
    rate = bytes_done > progress->bytes_done ? (double)(bytes_done - progress->bytes_done) / seconds
                                             : 0;
    if (progress->worked_ns == 0)
        progress->bytes_per_second = rate;
    else
        progress->bytes_per_second +=
            (rate - progress->bytes_per_second) * seconds / (seconds + SMOOTHING_SECONDS);
    progress->worked_ns = worked_ns;
    progress->bytes_done = bytes_done;
}

/* Both counts are approximate: nothing is done wholly before all files are. */
static unsigned percentage(const forkfold_progress *now)
{
    double part = (double)now->bytes_done / (double)now->bytes_found * 100;
    unsigned most = now->files_done < now->files_found ? 99 : 100;

    return part < most ? (unsigned)part : most;
}

/* ", 0:03 left", or nothing when it would be a guess. */
static void describe_left(char *text, double seconds)
{
    unsigned whole;

    *text = '\0';
    if (!(seconds < LEFT_SECONDS_MAX))
        return;
    whole = (unsigned)seconds + 1;
    if (whole < 3600)
        snprintf(text, PART_BYTES, ", %u:%02u left", whole / 60, whole % 60);
    else
        snprintf(text, PART_BYTES, ", %u:%02u:%02u left", whole / 3600, whole / 60 % 60,
                 whole % 60);
}

static void describe_losses(char *retried, char *died, const forkfold_progress *now)
{
    *retried = '\0';
    *died = '\0';
    if (now->retries > 0)
        snprintf(retried, PART_BYTES, ", %" PRIu64 " retried", now->retries);
    if (now->deaths > 0)
        snprintf(died, PART_BYTES, ", %" PRIu64 " worker%s died", now->deaths,
                 now->deaths == 1 ? "" : "s");
}

void ff_cli_progress_describe(struct ff_cli_progress *progress, const forkfold_progress *now,
                              uint64_t worked_ns, char *text)
{
    const char *more = now->discovering ? "+" : "";
    char part[PART_BYTES] = "";
    char left[PART_BYTES] = "";
    char retried[PART_BYTES];
    char died[PART_BYTES];
    char done[FF_CLI_SIZE_TEXT_BYTES];
    char found[FF_CLI_SIZE_TEXT_BYTES];
    char rate[FF_CLI_SIZE_TEXT_BYTES];

    take_look(progress, now->bytes_done, worked_ns);
    ff_cli_size_text(done, now->bytes_done);
    ff_cli_size_text(found, now->bytes_found);
    ff_cli_size_text(rate, (uint64_t)progress->bytes_per_second);
    describe_losses(retried, died, now);
    if (progress->sizes_known && !now->discovering && now->bytes_found > 0) {
        snprintf(part, sizeof(part), ", %u%%", percentage(now));
        if (now->bytes_done < now->bytes_found)
            describe_left(left, (double)(now->bytes_found - now->bytes_done) /
                                    progress->bytes_per_second);
    }
    snprintf(text, FF_CLI_PROGRESS_TEXT_BYTES,
             "%" PRIu64 "/%" PRIu64 "%s files, %s of %s%s%s, %s/s%s, %" PRIu64 " failed%s%s",
             now->files_done, now->files_found, more, done, found, more, part, rate, left,
             now->files_failed, retried, died);
}

/* ---- Showing it ---------------------------------------------------------- */

/*
 * Overwrites the old line, its rest with spaces: no terminal needs to be known
 * for that.  The last column stays free, for some terminals wrap there.
 */
static void redraw(struct ff_cli_progress *progress, const char *text)
{
    char buffer[2 * FF_CLI_PROGRESS_TEXT_BYTES];
    struct ff_cli_writer writer;
    size_t length = strnlen(text, ff_cli_terminal_columns(STDERR_FILENO) - 1);

    ff_cli_writer_start(&writer, STDERR_FILENO, buffer, sizeof(buffer));
    ff_cli_write(&writer, "\r", 1);
    ff_cli_write(&writer, text, length);
    if (progress->drawn > length)
        ff_cli_write_repeated(&writer, ' ', progress->drawn - length);
    ff_cli_write(&writer, "\r", 1);
    (void)ff_cli_writer_flush(&writer);
    progress->drawn = length;
}

static void tell_deaths(struct ff_cli_progress *progress, const forkfold_progress *now)
{
    if (!progress->tells_deaths || now->deaths <= progress->deaths)
        return;
    progress->deaths = now->deaths;
    ff_cli_progress_clear(progress);
    ff_cli_message("%" PRIu64 " worker%s died so far, %" PRIu64 " input%s tried again", now->deaths,
                   now->deaths == 1 ? "" : "s", now->retries, now->retries == 1 ? "" : "s");
}

void ff_cli_progress_show(const forkfold_progress *now, void *context)
{
    struct ff_cli_progress *progress = context;
    char text[FF_CLI_PROGRESS_TEXT_BYTES];

    tell_deaths(progress, now);
    if (!progress->shows)
        return;
    ff_cli_progress_describe(progress, now, now_ns() - progress->started_ns - progress->stopped_ns,
                             text);
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

void ff_cli_progress_end(struct ff_cli_progress *progress, const forkfold_progress *now)
{
    ff_cli_progress_clear(progress);
    tell_deaths(progress, now);
}

void ff_cli_progress_stopped_for(struct ff_cli_progress *progress, uint64_t nanoseconds)
{
    progress->stopped_ns += nanoseconds;
}
