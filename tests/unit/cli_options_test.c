/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <forkfold/words.h>

#include "command.h"
#include "options.h"
#include "values.h"

enum { ARGUMENTS_MAX = 32 };

/* Parses "words" followed by the arguments up to NULL. */
#define PARSE(options, ...) parse(options, (const char *[]){"words", __VA_ARGS__, NULL})

static int parse(struct ff_cli_options *options, const char *const *arguments)
{
    static char copies[ARGUMENTS_MAX][256];
    static char *argv[ARGUMENTS_MAX + 1];
    int argc = 0;

    for (; arguments[argc] != NULL; argc++) {
        assert_true(argc < ARGUMENTS_MAX && strlen(arguments[argc]) < sizeof(copies[0]));
        argv[argc] = strcpy(copies[argc], arguments[argc]);
    }
    argv[argc] = NULL;
    return ff_cli_options_parse(argc, argv, options);
}

static void durations_have_units_and_fractions(void **state)
{
    static const struct {
        const char *text;
        uint64_t nanoseconds;
    } cases[] = {
        {"0", 0},
        {"2", 2000000000},
        {"1.5s", 1500000000},
        {"500ms", 500000000},
        {"2m", 120000000000},
        {"1h", 3600000000000},
        {"0.25h", 900000000000},
        {"0.0000000001", 1}, /* not 0, which would mean "none" */
        {"9223372036", 9223372036000000000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 7;

        assert_true(ff_cli_parse_duration(cases[i].text, &value));
        assert_int_equal(value, cases[i].nanoseconds);
    }
}

static void wrong_durations_are_refused(void **state)
{
    static const char *const cases[] = {"",   "s",   "1x",  "-1",  "+1",  " 1",         "1 s",
                                        "1.", ".5s", "1,5", "inf", "1e3", "9223372037", "0x10"};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 7;

        assert_false(ff_cli_parse_duration(cases[i], &value));
        assert_int_equal(value, 7);
    }
}

static void sizes_have_powers_of_1024(void **state)
{
    uint64_t value;

    (void)state;
    assert_true(ff_cli_parse_size("65536", &value));
    assert_int_equal(value, 65536);
    assert_true(ff_cli_parse_size("512K", &value));
    assert_int_equal(value, 512 << 10);
    assert_true(ff_cli_parse_size("1.5m", &value));
    assert_int_equal(value, 3 << 19);
    assert_true(ff_cli_parse_size("8G", &value));
    assert_int_equal(value, UINT64_C(8) << 30);
    assert_false(ff_cli_parse_size("1T", &value));
    assert_false(ff_cli_parse_size("1KB", &value));
    assert_false(ff_cli_parse_size("99999999999G", &value));
}

static void numbers_are_digits_only(void **state)
{
    uint64_t value = 7;

    (void)state;
    assert_true(ff_cli_parse_number("18446744073709551615", &value));
    assert_true(value == UINT64_MAX);
    assert_false(ff_cli_parse_number("18446744073709551616", &value));
    assert_false(ff_cli_parse_number("", &value));
    assert_false(ff_cli_parse_number("-1", &value));
    assert_false(ff_cli_parse_number("1k", &value));
}

static void nearest_name_tolerates_typing_errors(void **state)
{
    static const char *const names[] = {"workers", "top", "timeout", "retries"};

    (void)state;
    assert_string_equal(ff_cli_nearest("wrokers", names, 4), "workers");
    assert_string_equal(ff_cli_nearest("worker", names, 4), "workers");
    assert_string_equal(ff_cli_nearest("time-out", names, 4), "timeout");
    assert_string_equal(ff_cli_nearest("tpo", names, 4), "top");
    assert_null(ff_cli_nearest("compress", names, 4));
    assert_null(ff_cli_nearest("", names, 4));
    assert_null(ff_cli_nearest("a-name-longer-than-any-option-that-there-is", names, 4));
}

static void options_and_operands_may_alternate(void **state)
{
    struct ff_cli_options options;

    (void)state;
    assert_int_equal(PARSE(&options, "one", "-j4", "two", "--rule=plain", "-qr", "--", "-x"), 0);
    assert_int_equal(options.workers, 4);
    assert_int_equal(options.rule, FORKFOLD_PLAIN);
    assert_true(options.quiet && options.recursive && !options.verbose);
    assert_int_equal(options.path_count, 3);
    assert_string_equal(options.paths[0], "one");
    assert_string_equal(options.paths[2], "-x");
}

static void defaults_are_the_documented_ones(void **state)
{
    struct ff_cli_options options;

    (void)state;
    assert_int_equal(PARSE(&options, "d"), 0);
    assert_int_equal(options.workers, 0);
    assert_int_equal(options.retries, 2);
    assert_int_equal(options.max_deaths, 10);
    assert_int_equal(options.format, FF_CLI_FORMAT_AUTO);
    assert_true(options.top == FF_CLI_TOP_DEFAULT);
    assert_int_equal(options.on_error, FF_CLI_ON_ERROR_SKIP);
    assert_null(options.output);
    assert_int_equal(options.memory_bytes, 0);
    assert_int_equal(options.cpu, FF_CLI_CPU_AUTO);
    assert_int_equal(options.stats, FF_CLI_STATS_NONE);
}

static void every_value_lands_in_its_field(void **state)
{
    struct ff_cli_options options;

    (void)state;
    assert_int_equal(PARSE(&options, "--timeout", "1.5s", "--deadline", "2m", "--split", "1M",
                           "--top", "0", "--min-count", "3", "--on-error", "stop", "--format",
                           "json", "--memory", "1.5G", "--cpu", "generic", "d"),
                     0);
    assert_int_equal(options.timeout_ns, 1500000000);
    assert_int_equal(options.deadline_ns, 120000000000);
    assert_int_equal(options.split_bytes, 1 << 20);
    assert_int_equal(options.top, 0);
    assert_int_equal(options.min_count, 3);
    assert_int_equal(options.on_error, FF_CLI_ON_ERROR_STOP);
    assert_int_equal(options.format, FF_CLI_FORMAT_JSON);
    assert_int_equal(options.memory_bytes, UINT64_C(3) << 29);
    assert_int_equal(options.cpu, FF_CLI_CPU_GENERIC);
}

static void value_of_stats_may_be_left_out(void **state)
{
    struct ff_cli_options options;

    (void)state;
    assert_int_equal(PARSE(&options, "--stats", "json"), 0);
    assert_int_equal(options.stats, FF_CLI_STATS_TEXT);
    assert_int_equal(options.path_count, 1);
    assert_int_equal(PARSE(&options, "--stats=json", "d"), 0);
    assert_int_equal(options.stats, FF_CLI_STATS_JSON);
    assert_int_equal(PARSE(&options, "--stats=json", "--st", "d"), 0);
    assert_int_equal(options.stats, FF_CLI_STATS_TEXT);
}

static void wrong_usage_is_refused(void **state)
{
    struct ff_cli_options options;

    (void)state;
    assert_int_equal(PARSE(&options, "--wrokers", "3", "d"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "--re", "d"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "-z", "d"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "-j"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "-j", "0", "d"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "--top", "-1", "d"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "--quiet=1", "d"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "--format", "xml", "d"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "--rule", "letter", "d"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "-o", "a", "-o", "b", "d"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "--memory", "1048575", "d"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "--stats=", "d"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "-0", "d"), FF_CLI_USAGE);
    assert_int_equal(PARSE(&options, "-q"), FF_CLI_USAGE);
}

static void help_needs_no_path(void **state)
{
    struct ff_cli_options options;

    (void)state;
    assert_int_equal(PARSE(&options, "--help"), 0);
    assert_true(options.help);
    assert_int_equal(PARSE(&options, "-V"), 0);
    assert_true(options.version);
}

static void chosen_options_are_shown_as_they_are_understood(void **state)
{
    static char text[1024];
    struct ff_cli_options options;
    struct ff_cli_writer writer;

    (void)state;
    assert_int_equal(PARSE(&options, "-j4", "--rule", "plain", "--invalid", "fail", "--glob", "a\n",
                           "--format=ndjson", "--top", "0", "--retries", "2", "--max-deaths", "3",
                           "--timeout", "1500ms", "--split=1.5K", "--memory", "1M", "--cpu", "avx2",
                           "--stats=json", "-v", "d"),
                     0);
    ff_cli_writer_start(&writer, -1, text, sizeof(text));
    ff_cli_options_show_chosen(&writer, &options);
    assert_int_equal(writer.error, 0);
    text[writer.used] = '\0';
    assert_string_equal(text, " --workers 4 --rule plain --glob 'a\\x0a' --format ndjson --top 0 "
                              "--timeout 1.5s --max-deaths 3 --split 1536 --memory 1048576 "
                              "--cpu avx2 --stats=json --verbose");
}

static void help_fits_a_screen(void **state)
{
    static char text[8192];
    struct ff_cli_writer writer;
    size_t lines = 0;
    size_t column = 0;

    (void)state;
    ff_cli_writer_start(&writer, -1, text, sizeof(text));
    ff_cli_options_help(&writer);
    assert_int_equal(writer.error, 0);
    for (size_t i = 0; i < writer.used; i++) {
        column = text[i] == '\n' ? 0 : column + 1;
        lines += text[i] == '\n';
        assert_true(column <= 80);
    }
    assert_true(lines <= 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_have_units_and_fractions),
        cmocka_unit_test(wrong_durations_are_refused),
        cmocka_unit_test(sizes_have_powers_of_1024),
        cmocka_unit_test(numbers_are_digits_only),
        cmocka_unit_test(nearest_name_tolerates_typing_errors),
        cmocka_unit_test(options_and_operands_may_alternate),
        cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(every_value_lands_in_its_field),
        cmocka_unit_test(value_of_stats_may_be_left_out),
        cmocka_unit_test(wrong_usage_is_refused),
        cmocka_unit_test(help_needs_no_path),
        cmocka_unit_test(chosen_options_are_shown_as_they_are_understood),
        cmocka_unit_test(help_fits_a_screen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
