/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stats.h"

enum { TEXT_BYTES = 4096 };

static const forkfold_stats stats = {
    .workers = 2,
    .wall_ns = 2000000000,
    .cpu_ns = 3250000000,
    .busy_ns = 3600000000,
    .wait_ns = 400000000,
    .claim_ns = 8000000,
    .seal_ns = 40000000,
    .tasks = 12,
    .seals = 3,
    .items = 21,
    .retries = 1,
    .deaths = 1,
    .peak_bytes = UINT64_C(300) << 20,
    .spilled_bytes = UINT64_C(3) << 29,
};

static const forkfold_words_totals totals = {.files = 20,
                                             .files_failed = 4,
                                             .bytes = UINT64_C(64) << 20,
                                             .words = UINT64_MAX,
                                             .distinct = 700000};

typedef void write_stats(struct ff_cli_writer *writer, const forkfold_stats *stats,
                         const forkfold_words_totals *totals);

static const char *written(write_stats *write, const forkfold_stats *of_work,
                           const forkfold_words_totals *of_words)
{
    static char text[TEXT_BYTES + 1];
    struct ff_cli_writer writer;

    ff_cli_writer_start(&writer, -1, text, TEXT_BYTES);
    write(&writer, of_work, of_words);
    assert_int_equal(writer.error, 0);
    text[writer.used] = '\0';
    return text;
}

static void text_has_an_aligned_line_for_each_subject(void **state)
{
    (void)state;
    assert_string_equal(
        written(ff_cli_stats_text, &stats, &totals),
        "forkfold: time           2.000 s, 3.250 s of CPU; 2 workers, busy for 90.0 % of it\n"
        "forkfold: input          20 files, 64.0 MiB; 32.0 MiB/s, 10.0 files/s; 4 failed\n"
        "forkfold: words          18446744073709551615, 700000 distinct\n"
        "forkfold: communication  11.20 %: claiming 0.20 %, sealing 1.00 %, waiting 10.00 %\n"
        "forkfold: work           12 tasks, 21 items, 3 seals; 1 tried again, 1 worker died\n"
        "forkfold: memory         300.0 MiB at most; 1.5 GiB spilled to disk\n");
}

static void json_is_one_object_on_one_line(void **state)
{
    (void)state;
    assert_string_equal(
        written(ff_cli_stats_json, &stats, &totals),
        "{\"wall_s\":2.000000,\"cpu_s\":3.250000,\"utilisation\":0.900000,\"workers\":2,"
        "\"files\":20,\"files_failed\":4,\"bytes\":67108864,\"words\":18446744073709551615,"
        "\"distinct\":700000,\"bytes_per_s\":33554432.000000,\"files_per_s\":10.000000,"
        "\"communication_share\":0.112000,\"claim_s\":0.008000,\"seal_s\":0.040000,"
        "\"wait_s\":0.400000,\"tasks\":12,\"seals\":3,\"items\":21,\"retries\":1,\"deaths\":1,"
        "\"peak_memory_bytes\":314572800,\"spilled_bytes\":1610612736}\n");
}

/* No time at all, and an extrapolation that comes out above the time that there was. */
static void shares_stay_between_none_and_all(void **state)
{
    static const forkfold_words_totals nothing = {0};
    static const forkfold_stats none = {.workers = 1};
    forkfold_stats too_much = stats;

    (void)state;
    assert_non_null(strstr(written(ff_cli_stats_json, &none, &nothing),
                           "\"utilisation\":0.000000,\"workers\":1,"));
    assert_non_null(strstr(written(ff_cli_stats_json, &none, &nothing),
                           "\"bytes_per_s\":0.000000,\"files_per_s\":0.000000,"
                           "\"communication_share\":0.000000"));
    too_much.claim_ns = UINT64_C(9000000000);
    assert_non_null(
        strstr(written(ff_cli_stats_json, &too_much, &totals), "\"communication_share\":1.000000"));
    assert_non_null(
        strstr(written(ff_cli_stats_text, &too_much, &totals), "100.00 %: claiming 100.00 %"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_has_an_aligned_line_for_each_subject),
        cmocka_unit_test(json_is_one_object_on_one_line),
        cmocka_unit_test(shares_stay_between_none_and_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
