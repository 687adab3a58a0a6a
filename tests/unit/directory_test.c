/* SPDX-License-Identifier: Apache-2.0 */
/* Free aggregation over the files of a directory. */
#include "job_folder.h"

/* ---- Functions ----------------------------------------------------------- */

struct found {
    uint32_t number;
    uint32_t lines;
    uint64_t bytes;
};

static int measure(const forkfold_text *text, forkfold_table *table)
{
    struct found *found;
    int code = fail_as_told(text);

    if (code != 0 || table != NULL || text->data[text->bytes] != '\0')
        return code != 0 ? code : 99;
    found = forkfold_text_reserve(text, sizeof(*found));
    if (found == NULL)
        return forkfold_text_fail(text, "no room");
    *found = (struct found){.bytes = text->bytes};
    if (strstr(text->path, "file-") != NULL) {
        found->number = number_of(text->path);
        shared->runs[found->number]++;
    }
    for (const char *end = text->data; (end = strchr(end, '\n')) != NULL; end++)
        found->lines++;
    return 0;
}

struct total {
    uint64_t lines;
    uint64_t bytes;
    uint64_t results;
    unsigned times[FILES]; /* that each was folded */
    unsigned in_order;
    char last[512];
};

static int add_up(void *pointer, const forkfold_text_result *result, void *user)
{
    struct total *total = pointer;
    const struct found *found = result->data;

    assert_int_equal(result->bytes, sizeof(*found));
    assert_int_equal((uintptr_t)result->data % 16, 0);
    assert_int_equal(result->path_bytes, strlen(result->path));
    assert_true(user == NULL || user == shared);
    total->results++;
    total->lines += found->lines;
    total->bytes += found->bytes;
    if (strstr(result->path, "file-") != NULL)
        total->times[number_of(result->path)]++;
    total->in_order += strcmp(total->last, result->path) < 0;
    snprintf(total->last, sizeof(total->last), "%s", result->path);
    return 0;
}

static void assert_all_folded(const struct total *total, uint64_t lines)
{
    for (unsigned number = 0; number < FILES; number++) {
        char text[1024];

        lines += number % 7 + 1;
        assert_int_equal(total->times[number], 1);
        (void)compose(number, text, sizeof(text));
    }
    assert_int_equal(total->lines, lines);
}

/* ---- Results ------------------------------------------------------------- */

static void assert_folds_all(unsigned workers, int ordered, unsigned buffer_files)
{
    forkfold_pool *pool = open_pool(workers);
    struct total total = {.lines = 100};
    forkfold_job job = {.map = measure,
                        .aggregate = add_up,
                        .total = &total,
                        .user = shared,
                        .ordered = ordered,
                        .buffer_files = buffer_files};
    forkfold_aggregate *aggregate = process(pool, &job);
    const forkfold_aggregate_totals *totals = forkfold_aggregate_get_totals(aggregate);

    assert_all_folded(&total, 100);
    assert_int_equal(totals->files, FILES);
    assert_int_equal(totals->results, FILES);
    assert_int_equal(totals->bytes, total.bytes);
    assert_int_equal(totals->files_failed, 0);
    assert_int_equal(totals->files_other, 1);
    assert_int_equal(totals->deaths, 0);
    assert_null(forkfold_aggregate_failure(aggregate, 0));
    if (ordered)
        assert_int_equal(total.in_order, FILES);
    forkfold_aggregate_close(aggregate);
    forkfold_pool_close(pool);
}

static void each_result_is_folded_once_into_the_initial_value(void **state)
{
    (void)state;
    make_numbered_files(FILES);
    write_file("other.dat", "x", 1);
    for (unsigned workers = 1; workers <= WORKERS_MOST; workers++)
        assert_folds_all(workers, 0, workers);
    assert_folds_all(2, 0, 0);
}

static void ordered_results_are_folded_in_order_of_the_paths(void **state)
{
    (void)state;
    make_numbered_files(FILES);
    write_file("other.dat", "x", 1);
    for (unsigned workers = 1; workers <= WORKERS_MOST; workers++)
        assert_folds_all(workers, 1, 0);
    assert_folds_all(3, 1, 1);
}

/* A result for texts that begin with a digit: as many bytes of 'r'. */
static int say_something(const forkfold_text *text, forkfold_table *table)
{
    char *result;
    size_t bytes;

    (void)table;
    if (text->data[0] < '0' || text->data[0] > '9')
        return 0;
    bytes = strtoul(text->data, NULL, 10);
    /* The last call counts. */
    if (forkfold_text_reserve(text, 1) == NULL)
        return 1;
    result = forkfold_text_reserve(text, bytes);
    if (result == NULL || forkfold_text_reserve(text, SIZE_MAX) != NULL)
        return 2;
    memset(result, 'r', bytes);
    return 0;
}

static int note_length(void *total, const forkfold_text_result *result, void *user)
{
    const char *bytes = result->data;
    size_t *lengths = total;
    size_t *count = user;

    for (size_t i = 0; i < result->bytes; i++)
        if (bytes[i] != 'r')
            return 1;
    lengths[(*count)++] = result->bytes;
    return 0;
}

static void results_of_any_size_are_folded_and_nothing_is_not(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 5000000, 300000, 7};
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    forkfold_pool *pool = open_pool(2);
    size_t lengths[SIZES];
    size_t count = 0;

    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        char name[32];
        char text[32];

        snprintf(name, sizeof(name), "size-%zu.txt", i);
        write_file(name, text, (size_t)snprintf(text, sizeof(text), "%zu", sizes[i]));
    }
    write_file("silent.txt", "no", 2);
    write_file("empty.txt", "", 0);
    forkfold_aggregate *aggregate = process(pool, &(forkfold_job){.map = say_something,
                                                                  .aggregate = note_length,
                                                                  .total = lengths,
                                                                  .user = &count,
                                                                  .ordered = 1});

    assert_int_equal(count, SIZES);
    assert_memory_equal(lengths, sizes, sizeof(sizes));
    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->files, SIZES + 2);
    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->results, SIZES);
    forkfold_aggregate_close(aggregate);
    forkfold_pool_close(pool);
}

/* ---- Texts --------------------------------------------------------------- */

static int send_back(const forkfold_text *text, forkfold_table *table)
{
    void *copy = forkfold_text_reserve(text, text->bytes);

    (void)table;
    if (copy == NULL || text->data[text->bytes] != '\0' || text->path_bytes != strlen(text->path))
        return 1;
    memcpy(copy, text->data, text->bytes);
    return 0;
}

struct bytes {
    char data[4096];
    size_t used;
};

static int append(void *total, const forkfold_text_result *result, void *user)
{
    struct bytes *all = total;

    (void)user;
    if (result->bytes > sizeof(all->data) - all->used)
        return 1;
    memcpy(all->data + all->used, result->data, result->bytes);
    all->used += result->bytes;
    return 0;
}

static void texts_are_given_as_they_are(void **state)
{
    static const char mixed[] = "\xef\xbb\xbf"
                                "one\r\ntwo\nthree\rz\xc3\xbcrich\0end";
    forkfold_pool *pool = open_pool(1);
    struct bytes all = {0};

    (void)state;
    write_file("mixed.txt", mixed, sizeof(mixed) - 1);
    forkfold_aggregate_close(
        process(pool, &(forkfold_job){.map = send_back, .aggregate = append, .total = &all}));
    assert_int_equal(all.used, sizeof(mixed) - 1);
    assert_memory_equal(all.data, mixed, all.used);
    forkfold_pool_close(pool);
}

static void bytes_that_are_no_text_are_given_when_asked_for(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_job job = {.map = send_back, .aggregate = append};
    struct bytes all = {0};

    (void)state;
    write_file("bad.txt", "abc\xff\xfe", 5);
    job.total = &all;
    forkfold_aggregate *aggregate = process(pool, &job);

    assert_int_equal(all.used, 0);
    assert_int_equal(forkfold_aggregate_failure(aggregate, 0)->reason, FORKFOLD_REASON_DECODE);
    assert_int_equal(forkfold_aggregate_failure(aggregate, 0)->byte_offset, 3);
    forkfold_aggregate_close(aggregate);
    job.raw = 1;
    forkfold_aggregate_close(process(pool, &job));
    assert_int_equal(all.used, 5);
    assert_memory_equal(all.data, "abc\xff\xfe", 5);
    forkfold_pool_close(pool);
}

static void files_that_do_not_know_their_size_are_read_to_their_end(void **state)
{
    static const char *const paths[] = {"/proc/sys/kernel/ostype"};
    forkfold_pool *pool = open_pool(1);
    struct bytes all = {0};

    (void)state;
    forkfold_aggregate_close(process(pool, &(forkfold_job){.map = send_back,
                                                           .aggregate = append,
                                                           .total = &all,
                                                           .paths = paths,
                                                           .path_count = 1}));
    assert_int_equal(all.used, strlen("Linux\n"));
    assert_memory_equal(all.data, "Linux\n", all.used);
    forkfold_pool_close(pool);
}

static int send_context(const forkfold_text *text, forkfold_table *table)
{
    char *copy = forkfold_text_reserve(text, text->context_bytes);

    (void)table;
    if (copy == NULL || (uintptr_t)text->context % 16 != 0)
        return 1;
    memcpy(copy, text->context, text->context_bytes);
    return 0;
}

static void context_reaches_the_workers_as_it_is_when_the_job_begins(void **state)
{
    forkfold_pool *pool = open_pool(2);
    char context[] = "after the pool was opened";
    struct bytes all = {0};

    (void)state;
    write_file("a.txt", "a", 1);
    forkfold_aggregate_close(process(pool, &(forkfold_job){.map = send_context,
                                                           .context = context,
                                                           .context_bytes = sizeof(context),
                                                           .aggregate = append,
                                                           .total = &all}));
    assert_string_equal(all.data, context);
    forkfold_pool_close(pool);
}

/* ---- Failures ------------------------------------------------------------ */

static void bad_files_are_listed_and_the_others_folded(void **state)
{
    forkfold_pool *pool = open_pool(2);
    struct total total = {0};

    (void)state;
    make_numbered_files(FILES);
    make_bad_files();
    forkfold_aggregate *aggregate = process(pool, &(forkfold_job){.map = measure,
                                                                  .aggregate = add_up,
                                                                  .total = &total,
                                                                  .retries_plus_one = 2,
                                                                  .timeout_ns = SECOND_NS / 5});

    assert_all_folded(&total, 0);
    assert_bad_files_failed(aggregate);
    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->files, FILES);
    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->deaths, 8);
    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->retries, 4);
    assert_non_null(forkfold_aggregate_failure(aggregate, 4)->backtrace);
    forkfold_aggregate_close(aggregate);
    forkfold_pool_close(pool);
}

static void file_whose_worker_was_killed_is_tried_again_and_folded_once(void **state)
{
    forkfold_pool *pool = open_pool(2);
    struct total total = {0};

    (void)state;
    make_numbered_files(FILES);
    write_file("once.txt", "once\n", 5);
    forkfold_aggregate *aggregate =
        process(pool, &(forkfold_job){.map = measure, .aggregate = add_up, .total = &total});

    assert_all_folded(&total, 1);
    assert_int_equal(total.results, FILES + 1);
    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->deaths, 1);
    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->retries, 1);
    assert_null(forkfold_aggregate_failure(aggregate, 0));
    forkfold_aggregate_close(aggregate);
    forkfold_pool_close(pool);
}

static void death_at_any_point_changes_nothing(void **state)
{
    static const char *const points[] = {"worker.claim.taken", "worker.claim.counted",
                                         "worker.claim.logged", "worker.items.written",
                                         "worker.items.published"};
    forkfold_pool_options options = {.workers = 2};

    (void)state;
    make_numbered_files(FILES);
    for (size_t i = 0; i < 2 * sizeof(points) / sizeof(points[0]); i++)
        for (unsigned at = 1; at < FILES; at += 1 + at * 2) {
            forkfold_pool *pool = open_pool_that_loses_a_worker(&options, points[i / 2], at);
            struct total total = {0};
            forkfold_job job = {
                .map = measure, .aggregate = add_up, .total = &total, .ordered = i % 2};

            forkfold_aggregate_close(process(pool, &job));
            assert_all_folded(&total, 0);
            forkfold_pool_close(pool);
        }
}

static void first_failure_ends_the_job_when_asked(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_aggregate *aggregate = NULL;
    struct total total = {0};
    forkfold_job job = {
        .map = measure, .aggregate = add_up, .total = &total, .stop_on_failure = 1, .ordered = 1};

    (void)state;
    make_numbered_files(FILES);
    write_file("file-030-bad.txt", "told", 4);
    assert_int_equal(forkfold_process_directory(pool, folder, &job, &aggregate),
                     FORKFOLD_E_STOPPED);
    assert_null(aggregate);
    assert_message_has(pool, "file-030-bad.txt: told so");
    assert_int_equal(total.results, 30);
    job.glob = "file-0[12]?.txt";
    forkfold_aggregate_close(process(pool, &job));
    assert_int_equal(total.results, 50);
    forkfold_pool_close(pool);
}

static void unreadable_files_are_listed_with_their_errors(void **state)
{
    char missing[512];
    char fine[512];
    const char *const paths[] = {path_of("missing.txt", missing, sizeof(missing)),
                                 path_of("fine.txt", fine, sizeof(fine)), folder};
    forkfold_pool *pool = open_pool(1);
    struct total total = {0};

    (void)state;
    write_file("fine.txt", "fine\n", 5);
    forkfold_aggregate *aggregate = process(pool, &(forkfold_job){.map = measure,
                                                                  .aggregate = add_up,
                                                                  .total = &total,
                                                                  .paths = paths,
                                                                  .path_count = 3,
                                                                  .paths_are_files = 1});

    assert_int_equal(total.results, 1);
    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->files_failed, 2);
    assert_int_equal(forkfold_aggregate_failure(aggregate, 0)->system_error, EISDIR);
    assert_int_equal(forkfold_aggregate_failure(aggregate, 1)->system_error, ENOENT);
    assert_string_equal(forkfold_aggregate_failure(aggregate, 1)->path, missing);
    forkfold_aggregate_close(aggregate);
    forkfold_pool_close(pool);
}

/* ---- Ends ---------------------------------------------------------------- */

static int refuse_the_third(void *total, const forkfold_text_result *result, void *user)
{
    (void)result;
    (void)user;
    return ++*(int *)total == 3 ? 42 : 0;
}

static void aggregate_function_can_end_the_job(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_aggregate *aggregate = NULL;
    int results = 0;

    (void)state;
    make_numbered_files(FILES);
    assert_int_equal(
        forkfold_process_directory(
            pool, folder,
            &(forkfold_job){.map = send_back, .aggregate = refuse_the_third, .total = &results},
            &aggregate),
        FORKFOLD_E_CANCELLED);
    assert_message_has(pool, "returned 42");
    assert_int_equal(results, 3);
    assert_null(aggregate);
    forkfold_pool_close(pool);
}

static int cancel(int fd, void *context)
{
    (void)fd;
    (void)context;
    return 1;
}

static void watch_and_deadline_end_a_job_that_hangs(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_aggregate *aggregate = NULL;
    struct total total = {0};
    forkfold_job job = {.map = measure,
                        .aggregate = add_up,
                        .total = &total,
                        .timeout_ns = UINT64_MAX,
                        .deadline_ns = SECOND_NS / 10};
    int event = eventfd(1, EFD_CLOEXEC);

    (void)state;
    write_file("hang.txt", "hang", 4);
    assert_int_equal(forkfold_process_directory(pool, folder, &job, &aggregate),
                     FORKFOLD_E_DEADLINE);
    job.deadline_ns = UINT64_MAX;
    assert_int_equal(forkfold_pool_watch(pool, event, cancel, NULL), 0);
    assert_int_equal(forkfold_process_directory(pool, folder, &job, &aggregate),
                     FORKFOLD_E_CANCELLED);
    assert_null(aggregate);
    forkfold_pool_close(pool);
    close(event);
}

static void note_progress(const forkfold_progress *progress, void *context)
{
    forkfold_progress *last = context;

    assert_true(progress->files_done >= last->files_done);
    assert_true(progress->files_done <= progress->files_found);
    *last = *progress;
}

static void progress_is_told_while_files_are_worked_on(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_progress last = {0};
    struct total total = {0};
    forkfold_job job = {.map = measure,
                        .aggregate = add_up,
                        .total = &total,
                        .timeout_ns = SECOND_NS / 10,
                        .retries_plus_one = 2,
                        .progress_ns = 1,
                        .on_progress = note_progress,
                        .progress_context = &last};

    (void)state;
    make_numbered_files(FILES);
    write_file("hang.txt", "hang", 4);
    for (job.ordered = 0; job.ordered < 2; job.ordered++) {
        last = (forkfold_progress){0};
        forkfold_aggregate_close(process(pool, &job));
        assert_int_equal(last.files_found, FILES + 1);
        assert_int_equal(last.discovering, 0);
        assert_true(last.deaths > 0);
        assert_true(last.bytes_done > 0 && last.bytes_done <= last.bytes_found);
    }
    forkfold_pool_close(pool);
}

static void jobs_and_counts_follow_each_other_on_a_pool(void **state)
{
    const char *paths[] = {folder};
    forkfold_words_options counting = {.paths = paths, .path_count = 1};
    forkfold_pool *pool = open_pool(2);
    forkfold_words *words = NULL;

    (void)state;
    make_numbered_files(FILES);
    for (int round = 0; round < 3; round++) {
        struct total total = {0};
        forkfold_job job = {.map = measure, .aggregate = add_up, .total = &total};
        forkfold_aggregate *aggregate = process(pool, &job);

        assert_all_folded(&total, 0);
        assert_int_equal(forkfold_count_words(pool, &counting, &words, NULL), 0);
        assert_int_equal(forkfold_process_directory(pool, folder, &job, &aggregate),
                         FORKFOLD_E_BUSY);
        forkfold_words_close(words);
        assert_int_equal(forkfold_aggregate_get_totals(aggregate)->files, FILES);
        forkfold_aggregate_close(aggregate);
    }
    forkfold_pool_close(pool);
}

static void folder_without_files_leaves_the_initial_value(void **state)
{
    forkfold_pool *pool = open_pool(2);
    struct total total = {.lines = 3};

    (void)state;
    for (int ordered = 0; ordered < 2; ordered++) {
        forkfold_aggregate *aggregate = process(
            pool, &(forkfold_job){
                      .map = measure, .aggregate = add_up, .total = &total, .ordered = ordered});

        assert_int_equal(forkfold_aggregate_get_totals(aggregate)->files, 0);
        forkfold_aggregate_close(aggregate);
    }
    assert_int_equal(total.lines, 3);
    forkfold_aggregate_close(NULL);
    forkfold_pool_close(pool);
}

/* ---- Mistakes ------------------------------------------------------------ */

static void assert_refused(forkfold_pool *pool, const char *directory, const forkfold_job *job,
                           int code, const char *part)
{
    forkfold_aggregate *aggregate = NULL;

    assert_int_equal(forkfold_process_directory(pool, directory, job, &aggregate), code);
    assert_null(aggregate);
    assert_message_has(pool, part);
}

static void what_makes_no_sense_is_refused(void **state)
{
    const char *paths[] = {folder, NULL};
    const char *dash[] = {"-"};
    forkfold_job job = {.map = measure, .aggregate = add_up};
    forkfold_pool *pool = open_pool(1);
    forkfold_job wrong = job;

    (void)state;
    assert_refused(pool, folder, NULL, FORKFOLD_E_INVALID, "needs a job");
    assert_refused(pool, NULL, &job, FORKFOLD_E_INVALID, "directory or on paths");
    assert_refused(pool, "-", &job, FORKFOLD_E_INVALID, "'-'");
    assert_refused(pool, "/does/not/exist", &job, FORKFOLD_E_NOT_FOUND, "/does/not/exist");
    assert_int_equal(forkfold_process_directory(pool, folder, &job, NULL), FORKFOLD_E_INVALID);
    wrong.size = 3;
    assert_refused(pool, folder, &wrong, FORKFOLD_E_INVALID, "size is 3");
    wrong = (forkfold_job){.aggregate = add_up};
    assert_refused(pool, folder, &wrong, FORKFOLD_E_INVALID, "map function");
    wrong = job;
    wrong.context_bytes = 1;
    assert_refused(pool, folder, &wrong, FORKFOLD_E_INVALID, "no address");
    wrong = job;
    wrong.progress_ns = 1;
    assert_refused(pool, folder, &wrong, FORKFOLD_E_INVALID, "on_progress");
    wrong = job;
    wrong.path_count = 1;
    assert_refused(pool, folder, &wrong, FORKFOLD_E_INVALID, "directory or on paths");
    assert_refused(pool, NULL, &wrong, FORKFOLD_E_INVALID, "without paths");
    wrong.paths = paths;
    wrong.path_count = 2;
    assert_refused(pool, NULL, &wrong, FORKFOLD_E_INVALID, "path 1");
    wrong.paths = dash;
    wrong.path_count = 1;
    assert_refused(pool, NULL, &wrong, FORKFOLD_E_INVALID, "standard input");
    wrong = job;
    wrong.buffer_files = UINT32_MAX;
    assert_refused(pool, folder, &wrong, FORKFOLD_E_INVALID, "read ahead");
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(each_result_is_folded_once_into_the_initial_value),
        WITH_FOLDER(ordered_results_are_folded_in_order_of_the_paths),
        WITH_FOLDER(results_of_any_size_are_folded_and_nothing_is_not),
        WITH_FOLDER(texts_are_given_as_they_are),
        WITH_FOLDER(bytes_that_are_no_text_are_given_when_asked_for),
        WITH_FOLDER(files_that_do_not_know_their_size_are_read_to_their_end),
        WITH_FOLDER(context_reaches_the_workers_as_it_is_when_the_job_begins),
        WITH_FOLDER(bad_files_are_listed_and_the_others_folded),
        WITH_FOLDER(file_whose_worker_was_killed_is_tried_again_and_folded_once),
        WITH_FOLDER(death_at_any_point_changes_nothing),
        WITH_FOLDER(first_failure_ends_the_job_when_asked),
        WITH_FOLDER(unreadable_files_are_listed_with_their_errors),
        WITH_FOLDER(aggregate_function_can_end_the_job),
        WITH_FOLDER(watch_and_deadline_end_a_job_that_hangs),
        WITH_FOLDER(progress_is_told_while_files_are_worked_on),
        WITH_FOLDER(jobs_and_counts_follow_each_other_on_a_pool),
        WITH_FOLDER(folder_without_files_leaves_the_initial_value),
        WITH_FOLDER(what_makes_no_sense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
