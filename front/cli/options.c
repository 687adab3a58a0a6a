/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <forkfold.h>

#include "command.h"
#include "message.h"
#include "text.h"
#include "values.h"

/* An OPTIONAL_CHOICE without its value is the first one. */
enum kind { SWITCH, NUMBER, DURATION, SIZE, CHOICE, OPTIONAL_CHOICE, TEXT };

struct option_row {
    const char *name;
    char letter; /* 0 = none */
    enum kind kind;
    size_t field;   /* offset in struct ff_cli_options */
    uint64_t least; /* of numbers and sizes */
    uint64_t most;
    const char *argument; /* as the help shows it; of a choice, its values separated by '|' */
    const char *help;     /* NULL: the help only names it */
};

#define FIELD(name) offsetof(struct ff_cli_options, name)

/* The options of the library are unsigned, and one attempt more than retries must fit. */
#define COUNT_MAX 1000000

/* What the library accepts. */
#define WORKERS_MAX 4096
#define SPLIT_MIN   16
#define SPLIT_MAX   (UINT64_C(1) << 30)
#define MEMORY_MIN  (UINT64_C(1) << 20)

/* clang-format off */
static const struct option_row rows[] = {
    {"workers", 'j', NUMBER, FIELD(workers), 1, WORKERS_MAX, "N",
     "worker processes (default: usable CPUs)"},
    {"rule", 0, CHOICE, FIELD(rule), 0, 0, "letters|plain",
     "what a word is (default: letters)"},
    {"invalid", 0, CHOICE, FIELD(invalid), 0, 0, "fail|replace", NULL},
    {"glob", 0, TEXT, FIELD(glob), 0, 0, "PATTERN",
     "names in directories (default: *.txt)"},
    {"recursive", 'r', SWITCH, FIELD(recursive), 0, 0, NULL,
     "enter subdirectories"},
    {"files-from", 0, TEXT, FIELD(files_from), 0, 0, "FILE",
     "count the files that FILE (or -) lists"},
    {"null", '0', SWITCH, FIELD(null_separated), 0, 0, NULL, NULL},
    {"output", 'o', TEXT, FIELD(output), 0, 0, "FILE",
     "write to FILE, wholly or not at all"},
    {"format", 0, CHOICE, FIELD(format), 0, 0, "tsv|csv|json|ndjson",
     "how to write the words (default: tsv)"},
    {"top", 0, NUMBER, FIELD(top), 0, UINT64_MAX - 1, "N",
     "only the N most frequent words (0: all)"},
    {"min-count", 0, NUMBER, FIELD(min_count), 0, UINT64_MAX, "N",
     "only words that occur N times or more"},
    {"failures", 0, TEXT, FIELD(failures), 0, 0, "FILE",
     "list the failed inputs in FILE as JSON lines"},
    {"timeout", 0, DURATION, FIELD(timeout_ns), 0, 0, "DURATION",
     "longest time for one file: 1.5s, 2m"},
    {"deadline", 0, DURATION, FIELD(deadline_ns), 0, 0, "DURATION", NULL},
    {"retries", 0, NUMBER, FIELD(retries), 0, COUNT_MAX, "N", NULL},
    {"max-deaths", 0, NUMBER, FIELD(max_deaths), 1, COUNT_MAX, "N", NULL},
    {"on-error", 0, CHOICE, FIELD(on_error), 0, 0, "skip|stop", NULL},
    {"split", 0, SIZE, FIELD(split_bytes), SPLIT_MIN, SPLIT_MAX, "SIZE", NULL},
    {"memory", 0, SIZE, FIELD(memory_bytes), MEMORY_MIN, INT64_MAX, "SIZE",
     "what counts may take; more goes to disk"},
    {"cpu", 0, CHOICE, FIELD(cpu), 0, 0, "auto|avx512|avx2|generic", NULL},
    {"progress", 0, CHOICE, FIELD(progress), 0, 0, "auto|always|never",
     "show progress on stderr"},
    {"stats", 0, OPTIONAL_CHOICE, FIELD(stats), 0, 0, "text|json", NULL},
    {"quiet", 'q', SWITCH, FIELD(quiet), 0, 0, NULL,
     "no summary and no warnings"},
    {"verbose", 'v', SWITCH, FIELD(verbose), 0, 0, NULL,
     "what it does, with backtraces of crashes"},
    {"help", 'h', SWITCH, FIELD(help), 0, 0, NULL, NULL},
    {"version", 'V', SWITCH, FIELD(version), 0, 0, NULL, NULL},
};
/* clang-format on */

enum {
    ROW_COUNT = sizeof(rows) / sizeof(rows[0]),
    LONG_BASE = 256, /* getopt_long() returns this plus the row for a long option */
    HELP_COLUMN = 36,
    HELP_COLUMNS = 80
};

static const struct ff_cli_options defaults = {
    .format = FF_CLI_FORMAT_AUTO,
    .top = FF_CLI_TOP_DEFAULT,
    .retries = 2,
    .max_deaths = 10,
    .stats = FF_CLI_STATS_NONE,
};

static const char see_help[] = "see 'forkfold words --help'";

/* getopt's view of the table. */
struct getopt_view {
    struct option longs[ROW_COUNT + 1];
    char shorts[2 * ROW_COUNT + 2];
};

static int argument_of(const struct option_row *row)
{
    if (row->kind == SWITCH)
        return no_argument;
    return row->kind == OPTIONAL_CHOICE ? optional_argument : required_argument;
}

/* A letter's argument is required or there is none: no row with an optional one has a letter. */
static void build_view(struct getopt_view *view)
{
    char *letter = view->shorts;

    *view = (struct getopt_view){0};
    *letter++ = ':'; /* tells a missing argument from an unknown option */
    for (int i = 0; i < ROW_COUNT; i++) {
        view->longs[i] = (struct option){
            .name = rows[i].name,
            .has_arg = argument_of(&rows[i]),
            .val = LONG_BASE + i,
        };
        if (rows[i].letter == 0)
            continue;
        *letter++ = rows[i].letter;
        if (argument_of(&rows[i]) == required_argument)
            *letter++ = ':';
    }
}

/* The row that getopt means by a value it returned or left in optopt; NULL for none. */
static const struct option_row *find_row(int value)
{
    if (value >= LONG_BASE && value < LONG_BASE + ROW_COUNT)
        return &rows[value - LONG_BASE];
    for (int i = 0; i < ROW_COUNT; i++) {
        if (value != 0 && rows[i].letter == value)
            return &rows[i];
    }
    return NULL;
}

/* Says which two options an abbreviation could be; false when it is not one of several. */
static bool explain_ambiguity(const char *name)
{
    const char *first = NULL;

    for (int i = 0; i < ROW_COUNT; i++) {
        if (strncmp(rows[i].name, name, strlen(name)) != 0)
            continue;
        if (first != NULL) {
            ff_cli_message("option '--%s' could be --%s or --%s; write it out", name, first,
                           rows[i].name);
            return true;
        }
        first = rows[i].name;
    }
    return false;
}

static bool is_path(const char *argument)
{
    return argument != NULL && argument[0] == '-' && access(argument, F_OK) == 0;
}

static int refuse_path(const char *argument)
{
    return ff_cli_usage_error(
        "'%s' reads as options; for the path of that name, write -- before it", argument);
}

static int unknown_long_option(const char *argument)
{
    const char *names[ROW_COUNT];
    const char *nearest;
    char name[64];

    if (is_path(argument))
        return refuse_path(argument);
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(argument + 2, "="), argument + 2);
    if (explain_ambiguity(name))
        return FF_CLI_USAGE;
    for (int i = 0; i < ROW_COUNT; i++)
        names[i] = rows[i].name;
    nearest = ff_cli_nearest(name, names, ROW_COUNT);
    if (nearest == NULL)
        return ff_cli_usage_error("unknown option '--%s'; %s", name, see_help);
    return ff_cli_usage_error("unknown option '--%s'; did you mean '--%s'? (%s)", name, nearest,
                              see_help);
}

/* getopt refused an option: optopt is 0 for an unknown or ambiguous long one. */
static int refused_option(char **argv)
{
    const struct option_row *row = find_row(optopt);

    if (row != NULL)
        return ff_cli_usage_error("option '--%s' takes no argument; leave out what follows the '='",
                                  row->name);
    /* The letter is the last of the argument before, or there are more of them in this one. */
    for (int i = optind - 1; optopt != 0 && i <= optind; i++)
        if (is_path(argv[i]) && strchr(argv[i], optopt) != NULL)
            return refuse_path(argv[i]);
    if (optopt != 0)
        return ff_cli_usage_error("unknown option '-%c'; %s", optopt, see_help);
    return unknown_long_option(argv[optind - 1]);
}

static int missing_argument(void)
{
    const struct option_row *row = find_row(optopt);

    return ff_cli_usage_error("option '--%s' needs an argument: --%s %s", row->name, row->name,
                              row->argument);
}

static int read_number(const struct option_row *row, const char *text, uint64_t *field)
{
    uint64_t number;

    if (ff_cli_parse_number(text, &number) && number >= row->least && number <= row->most) {
        *field = number;
        return 0;
    }
    if (row->most >= UINT64_MAX - 1)
        return ff_cli_usage_error("option '--%s' takes a whole number, %u or more, not '%s'",
                                  row->name, (unsigned)row->least, text);
    return ff_cli_usage_error("option '--%s' takes a whole number from %u to %u, not '%s'",
                              row->name, (unsigned)row->least, (unsigned)row->most, text);
}

static int read_duration(const struct option_row *row, const char *text, uint64_t *field)
{
    if (ff_cli_parse_duration(text, field))
        return 0;
    return ff_cli_usage_error("option '--%s' takes a duration such as 500ms, 1.5s, 2m or 1h "
                              "(without a unit: seconds), not '%s'",
                              row->name, text);
}

static int read_size(const struct option_row *row, const char *text, uint64_t *field)
{
    uint64_t bytes;

    if (ff_cli_parse_size(text, &bytes) && bytes >= row->least && bytes <= row->most) {
        *field = bytes;
        return 0;
    }
    if (row->most == INT64_MAX)
        return ff_cli_usage_error("option '--%s' takes a size such as 64M, 1.5G or 8G, at least "
                                  "%uM, not '%s'",
                                  row->name, (unsigned)(row->least >> 20), text);
    return ff_cli_usage_error("option '--%s' takes a size such as 65536, 512K or 4M, from %u "
                              "bytes to %uG, not '%s'",
                              row->name, (unsigned)row->least, (unsigned)(row->most >> 30), text);
}

static int read_choice(const struct option_row *row, const char *text, int *field)
{
    const char *choice = row->argument;
    size_t length;

    if (text == NULL) {
        *field = 0;
        return 0;
    }
    length = strlen(text);

    for (int value = 0;; value++) {
        size_t choice_length = strcspn(choice, "|");

        if (choice_length == length && memcmp(choice, text, length) == 0) {
            *field = value;
            return 0;
        }
        if (choice[choice_length] == '\0')
            break;
        choice += choice_length + 1;
    }
    return ff_cli_usage_error("option '--%s' takes one of %s, not '%s'", row->name, row->argument,
                              text);
}

/* The later of two texts would silently win, though both were meant. */
static int read_text(const struct option_row *row, const char *text, const char **field)
{
    if (*field != NULL)
        return ff_cli_usage_error("option '--%s' is given twice ('%s' and '%s'); give it once",
                                  row->name, *field, text);
    if (*text == '\0')
        return ff_cli_usage_error("option '--%s' needs a %s that is not empty", row->name,
                                  row->argument);
    *field = text;
    return 0;
}

static int read_value(const struct option_row *row, const char *text,
                      struct ff_cli_options *options)
{
    void *field = (char *)options + row->field;

    switch (row->kind) {
    case SWITCH:
        *(int *)field = 1;
        return 0;
    case NUMBER:
        return read_number(row, text, field);
    case DURATION:
        return read_duration(row, text, field);
    case SIZE:
        return read_size(row, text, field);
    case CHOICE:
    case OPTIONAL_CHOICE:
        return read_choice(row, text, field);
    case TEXT:
        return read_text(row, text, field);
    }
    return FF_CLI_USAGE;
}

static int check_combination(const struct ff_cli_options *options)
{
    if (options->null_separated && options->files_from == NULL)
        return ff_cli_usage_error("option '--null' needs --files-from FILE: it says how the names "
                                  "in that list end");
    if (options->path_count == 0 && options->files_from == NULL)
        return ff_cli_usage_error("no PATH given; name directories or files to count, or - for "
                                  "standard input (%s)",
                                  see_help);
    return 0;
}

int ff_cli_options_parse(int argc, char **argv, struct ff_cli_options *options)
{
    struct getopt_view view;
    int value;

    *options = defaults;
    build_view(&view);
    opterr = 0;
    optind = 0; /* starts glibc's getopt afresh */
    while ((value = getopt_long(argc, argv, view.shorts, view.longs, NULL)) != -1) {
        int code;

        if (value == ':')
            return missing_argument();
        if (value == '?')
            return refused_option(argv);
        code = read_value(find_row(value), optarg, options);
        if (code != 0)
            return code;
        if (options->help || options->version)
            return 0;
    }
    options->paths = argv + optind;
    options->path_count = argc - optind;
    return check_combination(options);
}

/* What stands around the argument in the help. */
static const char *before_argument(const struct option_row *row)
{
    return row->argument == NULL ? "" : row->kind == OPTIONAL_CHOICE ? "[=" : " ";
}

static const char *after_argument(const struct option_row *row)
{
    return row->kind == OPTIONAL_CHOICE ? "]" : "";
}

static void write_described_row(struct ff_cli_writer *writer, const struct option_row *row)
{
    size_t width = strlen("  -x, --") + strlen(row->name);

    ff_cli_write_text(writer, "  ");
    if (row->letter != 0) {
        ff_cli_write(writer, "-", 1);
        ff_cli_write(writer, &row->letter, 1);
        ff_cli_write(writer, ", ", 2);
    } else {
        ff_cli_write_text(writer, "    ");
    }
    ff_cli_write_text(writer, "--");
    ff_cli_write_text(writer, row->name);
    if (row->argument != NULL) {
        ff_cli_write_text(writer, before_argument(row));
        ff_cli_write_text(writer, row->argument);
        ff_cli_write_text(writer, after_argument(row));
        width += strlen(before_argument(row)) + strlen(row->argument) + strlen(after_argument(row));
    }
    ff_cli_write_repeated(writer, ' ', width < HELP_COLUMN ? HELP_COLUMN - width : 2);
    ff_cli_write_text(writer, row->help);
    ff_cli_write_text(writer, "\n");
}

/* "-x/--name ARGUMENT", on a new line where it and a mark would pass the screen's edge. */
static void write_named_row(struct ff_cli_writer *writer, const struct option_row *row,
                            size_t *column)
{
    char letter[] = {'-', row->letter, '/', '\0'};
    char name[HELP_COLUMNS];
    int length = snprintf(name, sizeof(name), " %s--%s%s%s%s", row->letter != 0 ? letter : "",
                          row->name, before_argument(row),
                          row->argument != NULL ? row->argument : "", after_argument(row));

    if (*column + (size_t)length + 1 > HELP_COLUMNS) {
        ff_cli_write_text(writer, "\n ");
        *column = 1;
    }
    ff_cli_write_text(writer, name);
    *column += (size_t)length;
}

static void name_other_rows(struct ff_cli_writer *writer)
{
    static const char intro[] = "  Also (see the manual):";
    size_t column = strlen(intro);
    bool first = true;

    ff_cli_write_text(writer, intro);
    for (int i = 0; i < ROW_COUNT; i++) {
        if (rows[i].help != NULL)
            continue;
        if (!first) {
            ff_cli_write_text(writer, ",");
            column++;
        }
        write_named_row(writer, &rows[i], &column);
        first = false;
    }
    ff_cli_write_text(writer, ".\n");
}

void ff_cli_options_help(struct ff_cli_writer *writer)
{
    for (int i = 0; i < ROW_COUNT; i++) {
        if (rows[i].help != NULL)
            write_described_row(writer, &rows[i]);
    }
    name_other_rows(writer);
}

static bool is_default(const struct option_row *row, const void *field)
{
    const void *untouched = (const char *)&defaults + row->field;

    switch (row->kind) {
    case SWITCH:
    case CHOICE:
    case OPTIONAL_CHOICE:
        return *(const int *)field == *(const int *)untouched;
    case NUMBER:
    case DURATION:
    case SIZE:
        return *(const uint64_t *)field == *(const uint64_t *)untouched;
    case TEXT:
        return *(const char *const *)field == NULL;
    }
    return true;
}

static void write_choice(struct ff_cli_writer *writer, const struct option_row *row, int value)
{
    const char *choice = row->argument;

    for (; value > 0; value--)
        choice += strcspn(choice, "|") + 1;
    ff_cli_write(writer, choice, strcspn(choice, "|"));
}

static void write_value(struct ff_cli_writer *writer, const struct option_row *row,
                        const void *field)
{
    const char *text;
    char seconds[48];

    switch (row->kind) {
    case SWITCH:
        break;
    case CHOICE:
    case OPTIONAL_CHOICE:
        write_choice(writer, row, *(const int *)field);
        break;
    case NUMBER:
    case SIZE:
        ff_cli_write_number(writer, *(const uint64_t *)field);
        break;
    case DURATION:
        snprintf(seconds, sizeof(seconds), "%.10gs", (double)*(const uint64_t *)field / 1e9);
        ff_cli_write_text(writer, seconds);
        break;
    case TEXT:
        text = *(const char *const *)field;
        ff_cli_write_text(writer, "'");
        ff_cli_write_safe(writer, text, strlen(text));
        ff_cli_write_text(writer, "'");
    }
}

void ff_cli_options_show_chosen(struct ff_cli_writer *writer, const struct ff_cli_options *options)
{
    for (int i = 0; i < ROW_COUNT; i++) {
        const void *field = (const char *)options + rows[i].field;

        if (is_default(&rows[i], field))
            continue;
        ff_cli_write_text(writer, " --");
        ff_cli_write_text(writer, rows[i].name);
        if (rows[i].kind != SWITCH)
            ff_cli_write_text(writer, rows[i].kind == OPTIONAL_CHOICE ? "=" : " ");
        write_value(writer, &rows[i], field);
    }
}
