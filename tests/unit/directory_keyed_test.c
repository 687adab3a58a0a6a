/* SPDX-License-Identifier: Apache-2.0 */
/* Keyed aggregation over the files of a directory, compared with what one process makes of them. */
#include "job_folder.h"

#include "flow/combiner.h"

/* ---- A naive table -------------------------------------------------------- */

enum { NAIVE_MOST = 40000, KEY_MOST = 24 };

struct naive_value {
    char key[KEY_MOST];
    size_t key_bytes;
    int64_t value;
};

static struct naive {
    struct naive_value values[NAIVE_MOST];
    size_t count;
    uint64_t adds;
} naive;

static int64_t keep_last_bits(int64_t a, int64_t b)
{
    return a ^ b;
}

static int64_t combine(const forkfold_job *job, int64_t a, int64_t b)
{
    switch (job->combine) {
    case FORKFOLD_MIN:
        return a < b ? a : b;
    case FORKFOLD_MAX:
        return a > b ? a : b;
    case FORKFOLD_MERGE:
        return job->merge(a, b);
    default:
        return a + b;
    }
}

static int compare_keys(const void *a, const void *b)
{
    const struct naive_value *left = a;
    const struct naive_value *right = b;
    size_t common = left->key_bytes < right->key_bytes ? left->key_bytes : right->key_bytes;
    int order = memcmp(left->key, right->key, common);

    return order != 0 ? order
                      : (left->key_bytes > right->key_bytes) - (left->key_bytes < right->key_bytes);
}

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

static int compare_ranks(const void *a, const void *b)
{
    const struct naive_value *left = a;
    const struct naive_value *right = b;

    if (magnitude(left->value) != magnitude(right->value))
        return magnitude(left->value) > magnitude(right->value) ? -1 : 1;
    if (left->value != right->value)
        return left->value > right->value ? -1 : 1;
    return compare_keys(a, b);
}

static void naive_add(const void *key, size_t key_bytes, int64_t value)
{
    assert_true(naive.count < NAIVE_MOST && key_bytes <= KEY_MOST);
    naive.values[naive.count] = (struct naive_value){.key_bytes = key_bytes, .value = value};
    if (key_bytes > 0)
        memcpy(naive.values[naive.count].key, key, key_bytes);
    naive.count++;
    naive.adds++;
}

/* Sorts by key, merges what is equal, sorts by rank. */
static void naive_fold(const forkfold_job *job)
{
    size_t kept = 0;

    qsort(naive.values, naive.count, sizeof(naive.values[0]), compare_keys);
    for (size_t i = 0; i < naive.count; i++) {
        if (job->combine == FORKFOLD_COUNT)
            naive.values[i].value = 1;
        if (kept > 0 && compare_keys(&naive.values[kept - 1], &naive.values[i]) == 0)
            naive.values[kept - 1].value =
                combine(job, naive.values[kept - 1].value, naive.values[i].value);
        else
            naive.values[kept++] = naive.values[i];
    }
    naive.count = kept;
    qsort(naive.values, naive.count, sizeof(naive.values[0]), compare_ranks);
}

static bool is_naive(forkfold_aggregate *aggregate)
{
    forkfold_value value;

    for (size_t i = 0; i < naive.count; i++) {
        const struct naive_value *expected = &naive.values[i];

        if (forkfold_aggregate_next(aggregate, &value) != 1 || value.value != expected->value ||
            value.key_bytes != expected->key_bytes ||
            memcmp(value.key, expected->key, value.key_bytes) != 0)
            return false;
    }
    return forkfold_aggregate_next(aggregate, &value) == 0;
}

/* ---- What is added ------------------------------------------------------- */

/* Of each numbered file: short, long and empty keys, values of both signs and sizes, zeros. */
typedef int adder(void *context, const void *key, size_t key_bytes, int64_t value);

static int add_all(unsigned number, adder *add, void *context)
{
    static const int64_t values[] = {0, 1, -1, 7, -300, 1 << 28, -(INT64_C(1) << 40), 5};
    char key[KEY_MOST];
    int code = add(context, NULL, 0, (int64_t)number - 20);

    for (unsigned i = 0; i < 400 && code == 0; i++) {
        unsigned which = number * 7919 + i * 104729;
        int length = snprintf(key, sizeof(key), which % 3 == 0 ? "k%u" : "a longer key %u",
                              which / 3 % (i % 2 == 0 ? 20 : 5000));

        code = add(context, key, (size_t)length, values[which % 8] * (int64_t)(number % 5));
    }
    return code;
}

static int add_to_naive(void *context, const void *key, size_t key_bytes, int64_t value)
{
    (void)context;
    naive_add(key, key_bytes, value);
    return 0;
}

static int add_to_table(void *context, const void *key, size_t key_bytes, int64_t value)
{
    return forkfold_table_add(context, key, key_bytes, value);
}

static void make_naive(const forkfold_job *job, unsigned files)
{
    naive.count = 0;
    naive.adds = 0;
    for (unsigned number = 0; number < files; number++)
        add_all(number, add_to_naive, NULL);
    naive_fold(job);
}

/* Bad files add, too, before they fail. */
static int add_numbered(const forkfold_text *text, forkfold_table *table)
{
    unsigned number = strstr(text->path, "file-") != NULL ? number_of(text->path) : 3;
    int code = add_all(number, add_to_table, table);

    if (code == 0)
        code = fail_as_told(text);
    if (code == 0 && forkfold_text_reserve(text, 1) != NULL)
        code = 98;
    return code;
}

/* ---- Results ------------------------------------------------------------- */

static void assert_same_as_naive(unsigned workers, forkfold_job job)
{
    forkfold_pool *pool = open_pool(workers);
    forkfold_aggregate *aggregate = process(pool, &job);
    const forkfold_aggregate_totals *totals = forkfold_aggregate_get_totals(aggregate);

    assert_int_equal(totals->files, FILES);
    assert_int_equal(totals->results, naive.adds);
    assert_int_equal(totals->keys, naive.count);
    assert_int_equal(totals->deaths, 0);
    assert_true(is_naive(aggregate));
    forkfold_aggregate_rewind(aggregate);
    assert_true(is_naive(aggregate));
    assert_int_equal(forkfold_aggregate_get_stats(aggregate)->spilled_bytes, 0);
    forkfold_aggregate_close(aggregate);
    forkfold_pool_close(pool);
}

static const forkfold_job jobs[] = {
    {.map = add_numbered},
    {.map = add_numbered, .combine = FORKFOLD_COUNT},
    {.map = add_numbered, .combine = FORKFOLD_MIN},
    {.map = add_numbered, .combine = FORKFOLD_MAX},
    {.map = add_numbered, .combine = FORKFOLD_MERGE, .merge = keep_last_bits},
};
enum { JOBS = sizeof(jobs) / sizeof(jobs[0]) };

static void values_are_folded_as_one_process_folds_them(void **state)
{
    (void)state;
    make_numbered_files(FILES);
    for (size_t i = 0; i < JOBS; i++) {
        make_naive(&jobs[i], FILES);
        for (unsigned workers = 1; workers <= WORKERS_MOST; workers++)
            assert_same_as_naive(workers, jobs[i]);
    }
}

static void values_that_memory_does_not_hold_are_folded_on_disk(void **state)
{
    forkfold_pool_options options = {.workers = 2, .memory_bytes = 1, .spill_folder = folder};
    forkfold_pool *pool = NULL;

    (void)state;
    make_numbered_files(FILES);
    assert_int_equal(forkfold_pool_open(&pool, &options, NULL, 0), 0);
    for (size_t i = 0; i < JOBS; i++) {
        forkfold_aggregate *aggregate = process(pool, &jobs[i]);

        make_naive(&jobs[i], FILES);
        assert_true(forkfold_aggregate_get_stats(aggregate)->spilled_bytes > 0);
        assert_int_equal(forkfold_aggregate_get_totals(aggregate)->results, naive.adds);
        assert_int_equal(forkfold_aggregate_get_totals(aggregate)->keys, naive.count);
        assert_true(is_naive(aggregate));
        forkfold_aggregate_rewind(aggregate);
        assert_true(is_naive(aggregate));
        forkfold_aggregate_close(aggregate);
    }
    forkfold_pool_close(pool);
}

static int add_extremes(const forkfold_text *text, forkfold_table *table)
{
    if (fail_as_told(text) != 0)
        return 1;
    forkfold_table_add(table, "most", 4, INT64_MAX);
    forkfold_table_add(table, "least", 5, -INT64_MAX);
    forkfold_table_add(table, "one", 3, 1);
    return forkfold_table_add(table, "minus", 5, -1);
}

static void keys_come_by_magnitude_positive_ones_first(void **state)
{
    static const char *const order[] = {"most", "least", "one", "minus"};
    static const int64_t values[] = {INT64_MAX, -INT64_MAX, 1, -1};
    forkfold_value value;

    (void)state;
    make_numbered_files(FILES);
    write_file("once.txt", "once", 4);
    for (uint64_t memory_bytes = 0; memory_bytes < 2; memory_bytes++) {
        forkfold_pool_options options = {
            .workers = 2, .memory_bytes = memory_bytes, .spill_folder = folder};
        forkfold_pool *pool = NULL;

        shared->deaths = 0;
        assert_int_equal(forkfold_pool_open(&pool, &options, NULL, 0), 0);
        forkfold_aggregate *aggregate =
            process(pool, &(forkfold_job){.map = add_extremes, .combine = FORKFOLD_MAX});

        assert_int_equal(forkfold_aggregate_get_totals(aggregate)->deaths, 1);
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(forkfold_aggregate_next(aggregate, &value), 1);
            assert_int_equal(value.key_bytes, strlen(order[i]));
            assert_memory_equal(value.key, order[i], value.key_bytes);
            assert_int_equal(value.value, values[i]);
        }
        assert_int_equal(forkfold_aggregate_next(aggregate, &value), 0);
        forkfold_aggregate_close(aggregate);
        forkfold_pool_close(pool);
    }
}

static void values_survive_being_encoded(void **state)
{
    static const int64_t values[] = {0, 1, -1, 63, -64, INT64_MAX, -INT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        assert_int_not_equal(ff_value_encode(values[i]), 0);
        assert_int_equal(ff_value_decode(ff_value_encode(values[i])), values[i]);
    }
    assert_int_equal(ff_value_encode(0), 1);
    assert_int_equal(ff_value_encode(-1), 2);
    assert_int_equal(ff_value_encode(INT64_MAX), UINT64_MAX);
}

/* ---- Failures ------------------------------------------------------------ */

static void assert_bad_files_add_nothing(unsigned workers, uint64_t memory_bytes)
{
    forkfold_pool_options options = {
        .workers = workers, .memory_bytes = memory_bytes, .spill_folder = folder};
    forkfold_pool *pool = NULL;
    forkfold_job job = {.map = add_numbered, .retries_plus_one = 2, .timeout_ns = SECOND_NS / 5};

    assert_int_equal(forkfold_pool_open(&pool, &options, NULL, 0), 0);
    forkfold_aggregate *aggregate = process(pool, &job);

    assert_bad_files_failed(aggregate);
    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->files, FILES);
    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->results, naive.adds);
    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->deaths, 8);
    assert_true(is_naive(aggregate));
    forkfold_aggregate_close(aggregate);
    forkfold_pool_close(pool);
}

static void files_that_fail_half_way_add_nothing(void **state)
{
    (void)state;
    make_numbered_files(FILES);
    make_bad_files();
    make_naive(&jobs[0], FILES);
    assert_bad_files_add_nothing(1, 0);
    assert_bad_files_add_nothing(3, 0);
    assert_bad_files_add_nothing(2, 1);
}

/* Whoever is on a file for the first time may die after it has added: each third file. */
static int add_and_die_at_first(const forkfold_text *text, forkfold_table *table)
{
    unsigned number = number_of(text->path);
    int code = add_all(number, add_to_table, table);

    if (atomic_fetch_add(&shared->runs[number], 1) == 0 && number % 3 == 0)
        raise(SIGKILL);
    return code;
}

static void deaths_change_nothing_but_their_number(void **state)
{
    (void)state;
    make_numbered_files(FILES);
    make_naive(&jobs[0], FILES);
    for (unsigned workers = 1; workers <= WORKERS_MOST; workers++) {
        forkfold_pool_options options = {
            .workers = workers, .max_deaths = FILES, .memory_bytes = workers % 2};
        forkfold_pool *pool = NULL;

        options.spill_folder = folder;
        memset(shared, 0, sizeof(*shared));
        assert_int_equal(forkfold_pool_open(&pool, &options, NULL, 0), 0);
        forkfold_aggregate *aggregate = process(pool, &(forkfold_job){.map = add_and_die_at_first});

        assert_int_equal(forkfold_aggregate_get_totals(aggregate)->deaths, FILES / 3);
        assert_int_equal(forkfold_aggregate_get_totals(aggregate)->files_failed, 0);
        assert_int_equal(forkfold_aggregate_get_totals(aggregate)->results, naive.adds);
        assert_true(is_naive(aggregate));
        forkfold_aggregate_close(aggregate);
        forkfold_pool_close(pool);
    }
}

static void death_at_any_point_changes_nothing(void **state)
{
    static const char *const points[] = {
        "worker.claim.taken",  "worker.claim.counted",  "worker.claim.logged",
        "worker.item.begin",   "worker.item.done",      "worker.seal.begin",
        "worker.seal.written", "worker.seal.published", "worker.spill.ask",
        "worker.spill.begin",  "worker.spill.written",  "worker.park.announced"};

    (void)state;
    make_numbered_files(FILES);
    make_naive(&jobs[4], FILES);
    for (size_t i = 0; i < 2 * sizeof(points) / sizeof(points[0]); i++)
        for (unsigned at = 1; at < 40; at += 1 + at * 2) {
            forkfold_pool_options options = {
                .workers = 2, .memory_bytes = i % 2, .spill_folder = folder};
            forkfold_pool *pool = open_pool_that_loses_a_worker(&options, points[i / 2], at);
            forkfold_aggregate *aggregate = process(pool, &jobs[4]);

            assert_true(is_naive(aggregate));
            assert_int_equal(forkfold_aggregate_get_totals(aggregate)->results, naive.adds);
            assert_int_equal(forkfold_aggregate_get_totals(aggregate)->files, FILES);
            forkfold_aggregate_close(aggregate);
            forkfold_pool_close(pool);
        }
}

/* What is wrong in one file is that file's failure, whatever its function makes of it. */
static int add_wrongly(const forkfold_text *text, forkfold_table *table)
{
    int code = 0;

    forkfold_table_add(table, "fine", 4, 1);
    if (strcmp(text->data, "least") == 0)
        code = forkfold_table_add(table, "k", 1, INT64_MIN);
    if (strcmp(text->data, "sum") == 0) {
        forkfold_table_add(table, "k", 1, INT64_MAX);
        code = forkfold_table_add(table, "k", 1, 1);
    }
    if (strcmp(text->data, "null") == 0)
        code = forkfold_table_add(table, NULL, 1, 1);
    if (code != 0 && forkfold_table_add(table, "later", 5, 1) != code)
        return 99;
    return forkfold_table_add(NULL, "k", 1, 1) == FORKFOLD_E_INVALID ? 0 : 97;
}

static void file_whose_values_pass_their_limits_fails(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_value value;

    (void)state;
    write_file("1.txt", "least", 5);
    write_file("2.txt", "null", 4);
    write_file("3.txt", "sum", 3);
    write_file("4.txt", "fine", 4);
    forkfold_aggregate *aggregate = process(pool, &(forkfold_job){.map = add_wrongly});

    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->files, 1);
    assert_int_equal(forkfold_aggregate_failure(aggregate, 0)->reason, FORKFOLD_REASON_LIMIT);
    assert_int_equal(forkfold_aggregate_failure(aggregate, 1)->reason, FORKFOLD_REASON_ERROR);
    assert_int_equal(forkfold_aggregate_failure(aggregate, 2)->reason, FORKFOLD_REASON_LIMIT);
    assert_null(forkfold_aggregate_failure(aggregate, 3));
    assert_int_equal(forkfold_aggregate_next(aggregate, &value), 1);
    assert_int_equal(value.value, 1);
    assert_int_equal(forkfold_aggregate_next(aggregate, &value), 0);
    forkfold_aggregate_close(aggregate);
    forkfold_pool_close(pool);
}

static int add_the_most(const forkfold_text *text, forkfold_table *table)
{
    (void)text;
    return forkfold_table_add(table, "most", 4, INT64_MAX);
}

static void sum_of_all_files_that_passes_its_limits_ends_the_job(void **state)
{
    (void)state;
    make_numbered_files(FILES);
    for (unsigned workers = 1; workers <= 2; workers++)
        for (uint64_t memory_bytes = 0; memory_bytes < 2; memory_bytes++) {
            forkfold_pool_options options = {
                .workers = workers, .memory_bytes = memory_bytes, .spill_folder = folder};
            forkfold_aggregate *aggregate = NULL;
            forkfold_pool *pool = NULL;

            assert_int_equal(forkfold_pool_open(&pool, &options, NULL, 0), 0);
            assert_int_equal(forkfold_process_directory(
                                 pool, folder, &(forkfold_job){.map = add_the_most}, &aggregate),
                             FORKFOLD_E_RANGE);
            assert_null(aggregate);
            assert_message_has(pool, "2^63");
            /* And the pool goes on. */
            make_naive(&jobs[0], FILES);
            aggregate = process(pool, &jobs[0]);
            assert_true(is_naive(aggregate));
            forkfold_aggregate_close(aggregate);
            forkfold_pool_close(pool);
        }
}

static int64_t crash(int64_t a, int64_t b)
{
    raise(SIGSEGV);
    return a + b;
}

static void merge_function_that_crashes_leaves_the_host_alone(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_aggregate *aggregate = NULL;
    forkfold_job job = {
        .map = add_numbered, .combine = FORKFOLD_MERGE, .merge = crash, .retries_plus_one = 1};

    (void)state;
    make_numbered_files(3);
    if (forkfold_process_directory(pool, folder, &job, &aggregate) == 0)
        assert_int_equal(forkfold_aggregate_get_totals(aggregate)->files_failed, 3);
    forkfold_aggregate_close(aggregate);
    make_naive(&jobs[3], 3);
    aggregate = process(pool, &jobs[3]);
    assert_true(is_naive(aggregate));
    forkfold_aggregate_close(aggregate);
    forkfold_pool_close(pool);
}

/* ---- Others -------------------------------------------------------------- */

static int add_context(const forkfold_text *text, forkfold_table *table)
{
    return forkfold_table_add(table, text->context, text->context_bytes, (int64_t)text->bytes);
}

/* Word counts split such a file; a map function gets all of it. */
static void big_files_are_given_as_one_text(void **state)
{
    enum { BYTES = 6 << 20 };
    forkfold_pool *pool = open_pool(2);
    char *text = malloc(BYTES);
    forkfold_value value;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', BYTES);
    write_file("big.txt", text, BYTES);
    free(text);
    forkfold_aggregate *aggregate =
        process(pool, &(forkfold_job){.map = add_context, .context = "size", .context_bytes = 4});

    assert_int_equal(forkfold_aggregate_next(aggregate, &value), 1);
    assert_int_equal(value.value, BYTES);
    assert_memory_equal(value.key, "size", 4);
    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->bytes, BYTES);
    forkfold_aggregate_close(aggregate);
    forkfold_pool_close(pool);
}

static void values_and_counts_follow_each_other_on_a_pool(void **state)
{
    const char *paths[] = {folder};
    forkfold_words_options counting = {.paths = paths, .path_count = 1};
    forkfold_pool *pool = open_pool(2);
    forkfold_words *words = NULL;

    (void)state;
    make_numbered_files(FILES);
    make_naive(&jobs[0], FILES);
    for (int round = 0; round < 3; round++) {
        forkfold_aggregate *aggregate = process(pool, &jobs[0]);

        assert_int_equal(forkfold_count_words(pool, &counting, &words, NULL), FORKFOLD_E_BUSY);
        assert_true(is_naive(aggregate));
        forkfold_aggregate_close(aggregate);
        assert_int_equal(forkfold_count_words(pool, &counting, &words, NULL), 0);
        assert_int_equal(forkfold_words_get_totals(words)->files, FILES);
        assert_true(forkfold_words_get_totals(words)->words > FILES);
        forkfold_words_close(words);
    }
    forkfold_pool_close(pool);
}

static void mixed_kinds_of_aggregation_are_refused(void **state)
{
    static const forkfold_job wrong[] = {
        {.map = add_numbered, .combine = FORKFOLD_MERGE},
        {.map = add_numbered, .merge = keep_last_bits},
        {.map = add_numbered, .combine = (enum forkfold_combine)17},
        {.map = add_numbered, .ordered = 1},
        {.map = add_numbered, .buffer_files = 1},
        {.map = add_numbered, .user = &naive},
        {.map = add_numbered, .total = &naive},
    };
    forkfold_pool *pool = open_pool(1);
    forkfold_aggregate *aggregate = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(forkfold_process_directory(pool, folder, &wrong[i], &aggregate),
                         FORKFOLD_E_INVALID);
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(values_are_folded_as_one_process_folds_them),
        WITH_FOLDER(values_that_memory_does_not_hold_are_folded_on_disk),
        WITH_FOLDER(keys_come_by_magnitude_positive_ones_first),
        WITH_FOLDER(values_survive_being_encoded),
        WITH_FOLDER(files_that_fail_half_way_add_nothing),
        WITH_FOLDER(deaths_change_nothing_but_their_number),
        WITH_FOLDER(death_at_any_point_changes_nothing),
        WITH_FOLDER(file_whose_values_pass_their_limits_fails),
        WITH_FOLDER(sum_of_all_files_that_passes_its_limits_ends_the_job),
        WITH_FOLDER(merge_function_that_crashes_leaves_the_host_alone),
        WITH_FOLDER(big_files_are_given_as_one_text),
        WITH_FOLDER(values_and_counts_follow_each_other_on_a_pool),
        WITH_FOLDER(mixed_kinds_of_aggregation_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
