/* SPDX-License-Identifier: Apache-2.0 */
#include "stats.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "text.h"

enum { LINE_BYTES = 256 };

static double seconds(uint64_t nanoseconds)
{
    return (double)nanoseconds / 1e9;
}

static double per_second(uint64_t amount, const forkfold_stats *stats)
{
    return stats->wall_ns > 0 ? (double)amount / seconds(stats->wall_ns) : 0;
}

/* Of the time of all workers.  What is extrapolated may come out above all that there was. */
static double share(uint64_t nanoseconds, const forkfold_stats *stats)
{
    double all_ns = (double)stats->wall_ns * stats->workers;

    if (all_ns == 0)
        return 0;
    return (double)nanoseconds < all_ns ? (double)nanoseconds / all_ns : 1;
}

static uint64_t communication_ns(const forkfold_stats *stats)
{
    return stats->claim_ns + stats->seal_ns + stats->wait_ns;
}

/* ---- For people ---------------------------------------------------------- */

static void write_line(struct ff_cli_writer *writer, const char *label, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void write_line(struct ff_cli_writer *writer, const char *label, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;

    snprintf(line, sizeof(line), "forkfold: %-15s", label);
    ff_cli_write_text(writer, line);
    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the line above starts it */
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    ff_cli_write_text(writer, line);
    ff_cli_write(writer, "\n", 1);
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static void write_input(struct ff_cli_writer *writer, const forkfold_stats *stats,
                        const forkfold_words_totals *totals)
{
    char size[FF_CLI_SIZE_TEXT_BYTES];
    char rate[FF_CLI_SIZE_TEXT_BYTES];

    ff_cli_size_text(size, totals->bytes);
    ff_cli_size_text(rate, (uint64_t)per_second(totals->bytes, stats));
    write_line(writer, "input", "%" PRIu64 " file%s, %s; %s/s, %.1f files/s; %" PRIu64 " failed",
               totals->files, plural(totals->files), size, rate, per_second(totals->files, stats),
               totals->files_failed);
    write_line(writer, "words", "%" PRIu64 ", %" PRIu64 " distinct", totals->words,
               totals->distinct);
}

static void write_work(struct ff_cli_writer *writer, const forkfold_stats *stats)
{
    write_line(writer, "communication",
               "%.2f %%: claiming %.2f %%, sealing %.2f %%, waiting %.2f %%",
               100 * share(communication_ns(stats), stats), 100 * share(stats->claim_ns, stats),
               100 * share(stats->seal_ns, stats), 100 * share(stats->wait_ns, stats));
    write_line(writer, "work",
               "%" PRIu64 " task%s, %" PRIu64 " item%s, %" PRIu64 " seal%s; %" PRIu64
               " tried again, %" PRIu64 " worker%s died",
               stats->tasks, plural(stats->tasks), stats->items, plural(stats->items), stats->seals,
               plural(stats->seals), stats->retries, stats->deaths, plural(stats->deaths));
}

void ff_cli_stats_text(struct ff_cli_writer *writer, const forkfold_stats *stats,
                       const forkfold_words_totals *totals)
{
    char peak[FF_CLI_SIZE_TEXT_BYTES];
    char spilled[FF_CLI_SIZE_TEXT_BYTES];

    ff_cli_size_text(peak, stats->peak_bytes);
    ff_cli_size_text(spilled, stats->spilled_bytes);
    write_line(writer, "time", "%.3f s, %.3f s of CPU; %u worker%s, busy for %.1f %% of it",
               seconds(stats->wall_ns), seconds(stats->cpu_ns), stats->workers,
               plural(stats->workers), 100 * share(stats->busy_ns, stats));
    write_input(writer, stats, totals);
    write_work(writer, stats);
    write_line(writer, "memory", "%s at most; %s spilled to disk", peak, spilled);
}

/* ---- For programs -------------------------------------------------------- */

/* Numbers with fractions have six digits of them, and a point whatever the locale. */
static void write_fraction(struct ff_cli_writer *writer, const char *name, double value)
{
    char text[LINE_BYTES];

    snprintf(text, sizeof(text), "\"%s\":%.6f,", name, value);
    ff_cli_write_text(writer, text);
}

static void write_count(struct ff_cli_writer *writer, const char *name, uint64_t count)
{
    char text[LINE_BYTES];

    snprintf(text, sizeof(text), "\"%s\":%" PRIu64 ",", name, count);
    ff_cli_write_text(writer, text);
}

void ff_cli_stats_json(struct ff_cli_writer *writer, const forkfold_stats *stats,
                       const forkfold_words_totals *totals)
{
    ff_cli_write(writer, "{", 1);
    write_fraction(writer, "wall_s", seconds(stats->wall_ns));
    write_fraction(writer, "cpu_s", seconds(stats->cpu_ns));
    write_fraction(writer, "utilisation", share(stats->busy_ns, stats));
    write_count(writer, "workers", stats->workers);
    write_count(writer, "files", totals->files);
    write_count(writer, "files_failed", totals->files_failed);
    write_count(writer, "bytes", totals->bytes);
    write_count(writer, "words", totals->words);
    write_count(writer, "distinct", totals->distinct);
    write_fraction(writer, "bytes_per_s", per_second(totals->bytes, stats));
    write_fraction(writer, "files_per_s", per_second(totals->files, stats));
    write_fraction(writer, "communication_share", share(communication_ns(stats), stats));
    write_fraction(writer, "claim_s", seconds(stats->claim_ns));
    write_fraction(writer, "seal_s", seconds(stats->seal_ns));
    write_fraction(writer, "wait_s", seconds(stats->wait_ns));
    write_count(writer, "tasks", stats->tasks);
    write_count(writer, "seals", stats->seals);
    write_count(writer, "items", stats->items);
    write_count(writer, "retries", stats->retries);
    write_count(writer, "deaths", stats->deaths);
    write_count(writer, "peak_memory_bytes", stats->peak_bytes);
    ff_cli_write_text(writer, "\"spilled_bytes\":");
    ff_cli_write_number(writer, stats->spilled_bytes);
    ff_cli_write_text(writer, "}\n");
}
