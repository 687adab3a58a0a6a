/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of `forkfold words`.  One table (options.c) drives parsing, the
 * help text and the search for what a mistyped name was meant to be.
 */
#ifndef FF_CLI_OPTIONS_H
#define FF_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "writer.h"

enum ff_cli_format {
    FF_CLI_FORMAT_AUTO = -1, /* the table on a terminal, else TSV */
    FF_CLI_FORMAT_TSV,
    FF_CLI_FORMAT_CSV,
    FF_CLI_FORMAT_JSON,
    FF_CLI_FORMAT_NDJSON
};
enum ff_cli_progress_mode { FF_CLI_PROGRESS_AUTO, FF_CLI_PROGRESS_ALWAYS, FF_CLI_PROGRESS_NEVER };
enum ff_cli_on_error { FF_CLI_ON_ERROR_SKIP, FF_CLI_ON_ERROR_STOP };
enum ff_cli_cpu { FF_CLI_CPU_AUTO, FF_CLI_CPU_AVX512, FF_CLI_CPU_AVX2, FF_CLI_CPU_GENERIC };
enum ff_cli_stats { FF_CLI_STATS_NONE = -1, FF_CLI_STATS_TEXT, FF_CLI_STATS_JSON };

/* Numbers are uint64_t, choices and switches int, texts borrowed from argv or NULL. */
struct ff_cli_options {
    uint64_t workers; /* 0 = as many as there are CPUs */
    int rule;         /* enum forkfold_word_rule */
    int invalid;      /* enum forkfold_invalid */
    const char *glob;
    int recursive;
    const char *files_from;
    int null_separated;
    const char *output;
    int format;   /* enum ff_cli_format */
    uint64_t top; /* 0 = all, FF_CLI_TOP_DEFAULT = what suits the format */
    uint64_t min_count;
    const char *failures;
    uint64_t timeout_ns;
    uint64_t deadline_ns;
    uint64_t retries;
    uint64_t max_deaths;
    int on_error; /* enum ff_cli_on_error */
    uint64_t split_bytes;
    uint64_t memory_bytes; /* 0 = what suits the machine */
    int cpu;               /* enum ff_cli_cpu */
    int stats;             /* enum ff_cli_stats */
    int progress;          /* enum ff_cli_progress_mode */
    int quiet;
    int verbose;
    int help;
    int version;
    char **paths; /* what is left of argv: path_count operands */
    int path_count;
};

#define FF_CLI_TOP_DEFAULT UINT64_MAX

/*
 * Reads argv[1] and on into *options; permutes argv.  Returns 0, or FF_CLI_USAGE
 * after a message.  Stops at --help and --version: no other field is then valid.
 */
int ff_cli_options_parse(int argc, char **argv, struct ff_cli_options *options);

/* A line for each option that many need, then the names of the others. */
void ff_cli_options_help(struct ff_cli_writer *writer);

/* " --name value" for each option that is not at its default. */
void ff_cli_options_show_chosen(struct ff_cli_writer *writer, const struct ff_cli_options *options);

#endif
