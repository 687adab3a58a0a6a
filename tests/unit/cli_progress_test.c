/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "progress.h"

#define SECOND_NS UINT64_C(1000000000)
#define MIB       (UINT64_C(1) << 20)

/* The text after so many seconds of work; it lives until the next call. */
static const char *described(struct ff_cli_progress *progress, const forkfold_progress *now,
                             unsigned seconds)
{
    static char text[FF_CLI_PROGRESS_TEXT_BYTES];

    ff_cli_progress_describe(progress, now, seconds * SECOND_NS, text);
    return text;
}

static double rate_after(struct ff_cli_progress *progress, uint64_t bytes_done, unsigned seconds)
{
    forkfold_progress now = {.files_found = 1, .bytes_found = 1 << 30, .bytes_done = bytes_done};

    (void)described(progress, &now, seconds);
    return progress->bytes_per_second;
}

static void text_tells_all_that_is_known(void **state)
{
    struct ff_cli_progress progress = {.sizes_known = true};
    forkfold_progress now = {.files_found = 40,
                             .files_done = 12,
                             .bytes_found = 100 * MIB,
                             .bytes_done = 28 * MIB,
                             .files_failed = 2,
                             .discovering = 1};

    (void)state;
    assert_string_equal(described(&progress, &now, 2),
                        "12/40+ files, 28.0 MiB of 100.0 MiB+, 14.0 MiB/s, 2 failed");
    now.discovering = 0;
    progress = (struct ff_cli_progress){.sizes_known = true};
    assert_string_equal(described(&progress, &now, 2),
                        "12/40 files, 28.0 MiB of 100.0 MiB, 28%, 14.0 MiB/s, 0:06 left, 2 failed");
    now.retries = 3;
    now.deaths = 1;
    progress = (struct ff_cli_progress){0};
    assert_string_equal(described(&progress, &now, 2),
                        "12/40 files, 28.0 MiB of 100.0 MiB, 14.0 MiB/s, 2 failed, 3 retried, "
                        "1 worker died");
}

static void nothing_is_done_before_all_is(void **state)
{
    struct ff_cli_progress progress = {.sizes_known = true};
    forkfold_progress now = {
        .files_found = 2, .files_done = 1, .bytes_found = 1000, .bytes_done = 1000};

    (void)state;
    assert_non_null(strstr(described(&progress, &now, 1), ", 99%, "));
    now.bytes_done = 2000; /* a file grew */
    assert_non_null(strstr(described(&progress, &now, 2), ", 99%, "));
    now.files_done = 2;
    assert_non_null(strstr(described(&progress, &now, 3), ", 100%, "));
    assert_null(strstr(described(&progress, &now, 3), "left"));
}

static void empty_files_are_no_division_by_zero(void **state)
{
    struct ff_cli_progress progress = {.sizes_known = true};
    forkfold_progress now = {.files_found = 5, .files_done = 1};

    (void)state;
    assert_string_equal(described(&progress, &now, 1), "1/5 files, 0 B of 0 B, 0 B/s, 0 failed");
}

static void rate_is_smoothed_and_follows(void **state)
{
    struct ff_cli_progress progress = {.sizes_known = true};
    double last;

    (void)state;
    assert_true(rate_after(&progress, 1000, 1) == 1000);
    last = rate_after(&progress, 1000, 2); /* a second without any byte */
    assert_true(last > 500 && last < 1000);
    for (unsigned second = 3; second < 40; second++) {
        double rate = rate_after(&progress, 1000 + (second - 2) * UINT64_C(4000), second);

        assert_true(rate > last && rate <= 4000);
        last = rate;
    }
    assert_true(last > 3900);
}

static void bytes_that_a_death_takes_back_leave_the_rate_sound(void **state)
{
    struct ff_cli_progress progress = {.sizes_known = true};

    (void)state;
    (void)rate_after(&progress, 5000, 1);
    assert_true(rate_after(&progress, 1000, 2) >= 0);
    assert_true(rate_after(&progress, 1000, 2) >= 0); /* and two looks at one time */
    assert_true(rate_after(&progress, 2000, 3) > 0);
}

static void time_left_is_short_to_read(void **state)
{
    static const struct {
        uint64_t left;
        const char *text;
    } cases[] = {{1, ", 0:01 left,"},
                 {59, ", 1:00 left,"},
                 {600, ", 10:01 left,"},
                 {3599, ", 1:00:00 left,"},
                 {86400, ", 24:00:01 left,"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ff_cli_progress progress = {.sizes_known = true};
        /* At 100 bytes a second; the last second is not over. */
        forkfold_progress now = {.files_found = 2,
                                 .bytes_found = 100 + cases[i].left * 100 - (i == 0 ? 50 : 0),
                                 .bytes_done = 100};

        assert_non_null(strstr(described(&progress, &now, 1), cases[i].text));
    }
}

static void endless_time_is_not_told(void **state)
{
    struct ff_cli_progress progress = {.sizes_known = true};
    forkfold_progress now = {.files_found = 2, .bytes_found = 1000};

    (void)state;
    assert_null(strstr(described(&progress, &now, 1), "left"));
    now.bytes_done = 1;
    now.bytes_found = UINT64_MAX;
    assert_null(strstr(described(&progress, &now, 2), "left"));
}

static void longest_text_fits(void **state)
{
    struct ff_cli_progress progress = {.sizes_known = true};
    forkfold_progress now = {.files_found = UINT64_MAX,
                             .files_done = UINT64_MAX,
                             .bytes_found = UINT64_MAX,
                             .bytes_done = UINT64_MAX - 1,
                             .files_failed = UINT64_MAX,
                             .retries = UINT64_MAX,
                             .deaths = UINT64_MAX};

    (void)state;
    assert_non_null(strstr(described(&progress, &now, 1000000), " workers died"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_tells_all_that_is_known),
        cmocka_unit_test(nothing_is_done_before_all_is),
        cmocka_unit_test(empty_files_are_no_division_by_zero),
        cmocka_unit_test(rate_is_smoothed_and_follows),
        cmocka_unit_test(bytes_that_a_death_takes_back_leave_the_rate_sound),
        cmocka_unit_test(time_left_is_short_to_read),
        cmocka_unit_test(endless_time_is_not_told),
        cmocka_unit_test(longest_text_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
