/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold words: checks everything that can be wrong, counts, lists the
 * failed inputs, writes the result, sums up.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <forkfold.h>

#include "command.h"
#include "failures.h"
#include "format.h"
#include "help.h"
#include "message.h"
#include "options.h"
#include "output.h"
#include "paths.h"
#include "progress.h"
#include "signals.h"
#include "stats.h"
#include "table.h"
#include "terminal.h"
#include "text.h"

enum { BUFFER_BYTES = 256 * 1024, TABLE_WORDS = 20, HIGH_FD = 10, MESSAGE_BYTES = 512 };

struct command {
    struct ff_cli_options options;
    struct ff_cli_paths paths;
    struct ff_cli_output result;
    struct ff_cli_output failures; /* unused without --failures */
    struct ff_cli_signals signals;
    struct ff_cli_progress progress;
    int stdin_fd; /* what "-" reads, or -1 */
    forkfold_pool *pool;
    forkfold_words *words;
};

static char buffer[BUFFER_BYTES];

/* Workers keep a descriptor of its own for "-": what lies at 0 in them is nobody's business. */
static int open_stdin(struct command *command)
{
    int flags = fcntl(STDIN_FILENO, F_GETFL);

    command->stdin_fd = -1;
    if (!command->paths.reads_stdin)
        return 0;
    if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY)
        return ff_cli_usage_error("standard input is closed; open it, or leave out the PATH '-'");
    command->stdin_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, HIGH_FD);
    if (command->stdin_fd >= 0)
        return 0;
    ff_cli_message("cannot duplicate standard input: %s; raise the limit of open files (ulimit -n)",
                   strerror(errno));
    return FF_CLI_UNFINISHED;
}

static bool leads_to_one_file(const struct ff_cli_output *a, const struct ff_cli_output *b)
{
    return a->kind == FF_CLI_OUTPUT_ATOMIC && b->kind == FF_CLI_OUTPUT_ATOMIC &&
           strcmp(a->target, b->target) == 0;
}

static int check_failures_output(struct command *command)
{
    const char *path = command->options.failures;
    int code;

    if (path == NULL)
        return 0;
    if (strcmp(path, "-") == 0)
        return ff_cli_usage_error("option '--failures' takes a file, not '-'; name one, such as "
                                  "/dev/stderr");
    code = ff_cli_output_check(&command->failures, "--failures", path);
    if (code != 0)
        return code;
    if (leads_to_one_file(&command->result, &command->failures) ||
        (command->result.kind == FF_CLI_OUTPUT_STANDARD &&
         command->failures.kind == FF_CLI_OUTPUT_STANDARD &&
         command->result.standard_fd == command->failures.standard_fd))
        return ff_cli_usage_error("the result and --failures would both go to '%s'; name two files",
                                  path);
    return 0;
}

static int check_outputs(struct command *command)
{
    const char *path = command->options.output;
    bool to_stdout = path == NULL || strcmp(path, "-") == 0;
    int code = ff_cli_output_check(&command->result, "--output", to_stdout ? NULL : path);

    return code != 0 ? code : check_failures_output(command);
}

static int prepare(struct command *command)
{
    int code = check_outputs(command);

    if (code == 0)
        code = ff_cli_paths_gather(&command->paths, &command->options);
    return code != 0 ? code : open_stdin(command);
}

static int exit_code_of(int error)
{
    return error == FORKFOLD_E_INVALID || error == FORKFOLD_E_NOT_FOUND ? FF_CLI_USAGE
                                                                        : FF_CLI_UNFINISHED;
}

static int open_pool(struct command *command)
{
    char message[MESSAGE_BYTES] = "";
    forkfold_pool_options options = {
        .size = sizeof(options),
        .workers = (unsigned)command->options.workers,
        .keep_fd_plus_one = command->stdin_fd + 1,
        .memory_bytes = command->options.memory_bytes,
    };
    int error = forkfold_pool_open(&command->pool, &options, message, sizeof(message));

    if (error == 0)
        return 0;
    command->pool = NULL;
    ff_cli_message("%s", *message != '\0' ? message : forkfold_strerror(error));
    return exit_code_of(error);
}

/* What is not an error is for --quiet not to show, --verbose or not. */
static bool says_more(const struct ff_cli_options *options)
{
    return options->verbose && !options->quiet;
}

static void show_set_up(const struct command *command)
{
    unsigned workers = forkfold_pool_workers(command->pool);
    unsigned cpus = forkfold_available_cpus();
    struct ff_cli_writer writer;

    ff_cli_message("version %s, %u worker%s, %u usable CPU%s", forkfold_version(), workers,
                   workers == 1 ? "" : "s", cpus, cpus == 1 ? "" : "s");
    ff_cli_writer_start(&writer, STDERR_FILENO, buffer, sizeof(buffer));
    ff_cli_write_text(&writer, "forkfold: options:");
    ff_cli_options_show_chosen(&writer, &command->options);
    ff_cli_write_text(&writer, "\n");
    (void)ff_cli_writer_flush(&writer); /* an unwritable stderr leaves nowhere to say so */
}

static const char *signal_text(int number)
{
    return number == SIGINT ? "interrupted" : number == SIGTERM ? "terminated" : "hung up";
}

static void show_pool_error(const struct command *command, int error)
{
    const char *message = forkfold_pool_message(command->pool);

    ff_cli_message("%s", *message != '\0' ? message : forkfold_strerror(error));
}

static int explain(const struct command *command, int error, const forkfold_progress *progress)
{
    const char *more = progress->discovering ? " found so far" : "";
    int received = command->signals.received;

    if (error == FORKFOLD_E_CANCELLED && received != 0) {
        ff_cli_message("%s: %" PRIu64 " of %" PRIu64 " files%s were done; no result was written",
                       signal_text(received), progress->files_done, progress->files_found, more);
        return FF_CLI_SIGNAL_BASE + received;
    }
    show_pool_error(command, error);
    if (exit_code_of(error) == FF_CLI_UNFINISHED && error != FORKFOLD_E_MEMORY)
        ff_cli_message("%" PRIu64 " of %" PRIu64 " files%s were done; no result was written",
                       progress->files_done, progress->files_found, more);
    return exit_code_of(error);
}

static forkfold_words_options words_options(struct command *command)
{
    static const char *const cpus[] = {[FF_CLI_CPU_AUTO] = NULL,
                                       [FF_CLI_CPU_AVX512] = "avx512",
                                       [FF_CLI_CPU_AVX2] = "avx2",
                                       [FF_CLI_CPU_GENERIC] = "generic"};
    const struct ff_cli_options *options = &command->options;

    return (forkfold_words_options){
        .size = sizeof(forkfold_words_options),
        .paths = command->paths.names,
        .path_count = command->paths.count,
        /* Operands may be directories and "-", which the library tells apart for all or none. */
        .paths_are_files = options->files_from != NULL && options->path_count == 0,
        .rule = (enum forkfold_word_rule)options->rule,
        .invalid = (enum forkfold_invalid)options->invalid,
        .glob = options->glob,
        .recursive = options->recursive,
        .stdin_fd = command->stdin_fd,
        .timeout_ns = options->timeout_ns,
        .deadline_ns = options->deadline_ns,
        .retries_plus_one = (unsigned)options->retries + 1,
        .max_deaths = (unsigned)options->max_deaths,
        .stop_on_failure = options->on_error == FF_CLI_ON_ERROR_STOP,
        .cpu = cpus[options->cpu],
        .split_bytes = options->split_bytes,
        .measure = options->stats != FF_CLI_STATS_NONE,
        .progress_ns = command->progress.interval_ns,
        .on_progress = ff_cli_progress_show,
        .context = &command->progress,
    };
}

static int count(struct command *command)
{
    forkfold_words_options options;
    forkfold_progress progress = {0};
    int error;

    ff_cli_progress_start(&command->progress, &command->options, !command->paths.reads_stdin);
    options = words_options(command);
    error = ff_cli_signals_watch(&command->signals, command->pool, &command->progress);
    if (error == 0)
        error = forkfold_count_words(command->pool, &options, &command->words, &progress);
    ff_cli_progress_end(&command->progress, &progress);
    ff_cli_signals_release(&command->signals);
    if (error == 0)
        return 0;
    command->words = NULL;
    return explain(command, error, &progress);
}

static const char *glob_of(const struct ff_cli_options *options)
{
    return options->glob != NULL ? options->glob : "*.txt";
}

static void warn_of_no_files(const struct command *command, const forkfold_words_totals *totals)
{
    const struct ff_cli_options *options = &command->options;
    const char *deeper = "";
    char others[64] = "";

    if (options->path_count == 0) {
        ff_cli_message("the list '%s' of --files-from names no files", options->files_from);
        return;
    }
    if (options->path_count > 1)
        snprintf(others, sizeof(others), " and %d more", options->path_count - 1);
    if (!options->recursive && ff_cli_paths_have_directories(&command->paths))
        deeper = "; -r enters the directories there";
    if (totals->files_other > 0)
        ff_cli_message("no files match '%s' in %s%s; %" PRIu64 " other file%s there: choose with "
                       "--glob PATTERN, --glob '*' for all%s",
                       glob_of(options), options->paths[0], others, totals->files_other,
                       totals->files_other == 1 ? " is" : "s are", deeper);
    else
        ff_cli_message("no files match '%s' in %s%s%s", glob_of(options), options->paths[0], others,
                       deeper);
}

static int report_failures(struct command *command)
{
    struct ff_cli_writer writer;
    int code;

    ff_cli_writer_start(&writer, STDERR_FILENO, buffer, sizeof(buffer));
    ff_cli_failures_show(&writer, command->words, command->options.verbose);
    (void)ff_cli_writer_flush(&writer); /* an unwritable stderr leaves nowhere to say so */
    if (command->options.failures == NULL)
        return 0;
    code = ff_cli_output_open(&command->failures, command->pool, buffer, sizeof(buffer));
    if (code != 0)
        return code;
    ff_cli_failures_json(&command->failures.writer, command->words);
    return ff_cli_output_commit(&command->failures);
}

static bool wants_table(const struct ff_cli_options *options)
{
    return options->output == NULL && options->format == FF_CLI_FORMAT_AUTO &&
           isatty(STDOUT_FILENO) == 1;
}

/* Returns 0 or a forkfold_error code. */
static int format_result(struct command *command)
{
    static ff_cli_format_words *const formats[] = {
        [FF_CLI_FORMAT_TSV] = ff_cli_format_tsv,
        [FF_CLI_FORMAT_CSV] = ff_cli_format_csv,
        [FF_CLI_FORMAT_JSON] = ff_cli_format_json,
        [FF_CLI_FORMAT_NDJSON] = ff_cli_format_ndjson,
    };
    const struct ff_cli_options *options = &command->options;
    struct ff_cli_writer *writer = &command->result.writer;
    struct ff_cli_selection selection = {.top = options->top, .min_count = options->min_count};
    int format = options->format == FF_CLI_FORMAT_AUTO ? FF_CLI_FORMAT_TSV : options->format;

    if (wants_table(options)) {
        struct ff_cli_table_look look = {
            .columns = ff_cli_terminal_columns(STDOUT_FILENO),
            .utf8 = ff_cli_terminal_is_utf8(),
            .colours = ff_cli_terminal_has_colours(STDOUT_FILENO),
        };

        if (selection.top == FF_CLI_TOP_DEFAULT)
            selection.top = TABLE_WORDS;
        return ff_cli_format_table(writer, command->words, selection, &look);
    }
    if (selection.top == FF_CLI_TOP_DEFAULT)
        selection.top = 0;
    return formats[format](writer, command->words, selection);
}

static int write_result(struct command *command)
{
    int code = ff_cli_output_open(&command->result, command->pool, buffer, sizeof(buffer));
    int error;

    if (code != 0)
        return code;
    error = format_result(command);
    if (error != 0) {
        ff_cli_output_abandon(&command->result);
        show_pool_error(command, error);
        return FF_CLI_UNFINISHED;
    }
    code = ff_cli_output_commit(&command->result);
    if (code == 0)
        ff_cli_signals_result_written();
    return code;
}

/* What --verbose adds to the summary. */
static void sum_up_more(const forkfold_words_totals *totals)
{
    double seconds = (double)totals->elapsed_ns / 1e9;
    char size[FF_CLI_SIZE_TEXT_BYTES];
    char rate[FF_CLI_SIZE_TEXT_BYTES];

    ff_cli_size_text(size, totals->bytes);
    ff_cli_size_text(rate, seconds > 0 ? (uint64_t)((double)totals->bytes / seconds) : 0);
    ff_cli_message("%s, %s/s, %" PRIu64 " input%s tried again, %" PRIu64 " other file%s left out",
                   size, rate, totals->retries, totals->retries == 1 ? "" : "s",
                   totals->files_other, totals->files_other == 1 ? "" : "s");
}

static void sum_up(const forkfold_words_totals *totals, const forkfold_stats *stats)
{
    char died[64] = "";
    char spilled[64] = "";
    char size[FF_CLI_SIZE_TEXT_BYTES];

    if (totals->deaths > 0)
        snprintf(died, sizeof(died), ", %" PRIu64 " worker%s died", totals->deaths,
                 totals->deaths == 1 ? "" : "s");
    if (stats->spilled_bytes > 0) {
        ff_cli_size_text(size, stats->spilled_bytes);
        snprintf(spilled, sizeof(spilled), ", %s spilled to disk", size);
    }
    ff_cli_message("%" PRIu64 " file%s, %" PRIu64 " failed, %" PRIu64 " words, %" PRIu64
                   " distinct, %.2f s%s%s",
                   totals->files, totals->files == 1 ? "" : "s", totals->files_failed,
                   totals->words, totals->distinct, (double)totals->elapsed_ns / 1e9, died,
                   spilled);
}

/* Asked for, so that --quiet does not hold it back; the last on stderr, where programs find it. */
static void show_stats(const struct command *command)
{
    const forkfold_words_totals *totals = forkfold_words_get_totals(command->words);
    const forkfold_stats *stats = forkfold_words_get_stats(command->words);
    struct ff_cli_writer writer;

    if (command->options.stats == FF_CLI_STATS_NONE)
        return;
    ff_cli_writer_start(&writer, STDERR_FILENO, buffer, sizeof(buffer));
    if (command->options.stats == FF_CLI_STATS_JSON)
        ff_cli_stats_json(&writer, stats, totals);
    else
        ff_cli_stats_text(&writer, stats, totals);
    (void)ff_cli_writer_flush(&writer); /* an unwritable stderr leaves nowhere to say so */
}

static int report(struct command *command)
{
    const forkfold_words_totals *totals = forkfold_words_get_totals(command->words);
    int code = report_failures(command);

    if (code == 0 && !command->options.quiet && totals->files + totals->files_failed == 0)
        warn_of_no_files(command, totals);
    if (code == 0)
        code = write_result(command);
    if (code != 0)
        return code;
    if (says_more(&command->options))
        sum_up_more(totals);
    if (!command->options.quiet)
        sum_up(totals, forkfold_words_get_stats(command->words));
    show_stats(command);
    return totals->files_failed > 0 ? FF_CLI_PARTIAL : FF_CLI_DONE;
}

static int run(struct command *command)
{
    int code;

    ff_cli_signals_block(&command->signals);
    code = open_pool(command);
    if (code == 0 && says_more(&command->options))
        show_set_up(command);
    if (code == 0)
        code = count(command);
    if (code == 0)
        code = report(command);
    forkfold_words_close(command->words);
    forkfold_pool_close(command->pool);
    return code;
}

int ff_cli_words(int argc, char **argv)
{
    static struct command command;
    int code = ff_cli_options_parse(argc, argv, &command.options);

    if (code != 0)
        return code;
    if (command.options.help)
        return ff_cli_show_words_help();
    if (command.options.version)
        return ff_cli_show_version();
    code = prepare(&command);
    if (code == 0)
        code = run(&command);
    ff_cli_paths_free(&command.paths);
    return code;
}
