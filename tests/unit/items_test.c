/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of functions on items: what they are given, what they give back, and what is refused. */
#include "item_script.h"

#include <math.h>

/* ---- Chunk size ---------------------------------------------------------- */

static void chunk_size_follows_its_table(void **state)
{
    static const struct {
        uint64_t items;
        unsigned workers;
        double seconds;
        uint64_t chunk;
    } rows[] = {
        {100000, 4, 0, 6250},
        {1000, 4, 0, 100},
        {399, 4, 0, 99},
        {50, 4, 0, 12},
        {10, 8, 0, 1},
        {0, 4, 0, 0},
        {100000, 4, 0.001, 250},
        {100000, 4, 1, 1},
        {400, 4, 0, 100},
        {1, 1, 0, 1},
        {100, 0, 0, 0},
        {100, 4, -1, 0},
        {100, 1, 0.25, 1},
        {100, 1, 0.1, 2},
        {UINT64_MAX, 1, 0, UINT64_MAX / 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(forkfold_chunk_size(rows[i].items, rows[i].workers, rows[i].seconds),
                         rows[i].chunk);
    assert_int_equal(forkfold_chunk_size(100, 4, (double)NAN), 0);
    assert_int_equal(forkfold_chunk_size(100, 4, (double)INFINITY), 0);
}

/* ---- Maps ---------------------------------------------------------------- */

/* NOLINTNEXTLINE(readability-function-size): three loops and what has to hold in the innermost */
static void map_gives_every_item_its_result(void **state)
{
    static const uint64_t counts[] = {0, 1, 2, 3, 100, 4097, 100000};
    uint64_t *numbers = make_numbers(100000);

    (void)state;
    for (unsigned workers = 1; workers <= 5; workers += 2) {
        forkfold_pool *pool = open_pool(workers);

        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
            const uint64_t chunks[] = {0, 1, 7, counts[i] + 5};

            for (size_t c = 0; c < sizeof(chunks) / sizeof(chunks[0]); c++) {
                forkfold_call_options options = mix_options(numbers, counts[i]);
                forkfold_call *call = NULL;
                forkfold_result result;

                options.chunk = chunks[c];
                assert_works(pool, forkfold_map(pool, &options, &call));
                assert_int_equal(forkfold_call_failure_count(call), 0);
                assert_mixed(call, numbers, counts[i]);
                assert_int_equal(forkfold_call_result(call, counts[i], &result),
                                 FORKFOLD_E_INVALID);
                assert_string_equal(forkfold_call_message(call), "");
                forkfold_call_close(call);
            }
        }
        forkfold_pool_close(pool);
    }
    free(numbers);
}

static void map_without_data_runs_every_index(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_call *call = NULL;
    forkfold_result result;

    (void)state;
    assert_works(
        pool,
        forkfold_map(pool, &(forkfold_call_options){.function = run_only, .count = 1234}, &call));
    assert_int_equal(script->runs, 1234);
    assert_int_equal(forkfold_call_result(call, 1233, &result), 0);
    assert_null(result.data);
    assert_int_equal(result.bytes, 0);
    assert_false(result.failed);
    forkfold_call_close(call);
    forkfold_call_close(NULL);
    forkfold_pool_close(pool);
}

/* Many calls on one pool, whose memory is used over and over. */
static void results_of_different_sizes_do_not_mix(void **state)
{
    forkfold_pool *pool = open_pool(3);
    uint64_t *numbers = make_numbers(3000);

    (void)state;
    for (uint64_t count = 1; count < 3000; count += 97) {
        forkfold_call_options options = mix_options(numbers, count);
        forkfold_call *one = NULL;
        forkfold_call *two = NULL;

        options.chunk = count % 5;
        assert_works(pool, forkfold_map(pool, &options, &one));
        options.count = count / 2 + 1;
        assert_works(pool, forkfold_map(pool, &options, &two));
        assert_mixed(one, numbers, count);
        assert_mixed(two, numbers, count / 2 + 1);
        forkfold_call_close(one);
        forkfold_call_close(two);
    }
    free(numbers);
    forkfold_pool_close(pool);
}

/* ---- Results that vary --------------------------------------------------- */

static uint64_t *make_sizes(uint64_t count)
{
    uint64_t *sizes = make_numbers(count);

    for (uint64_t i = 0; i < count; i++)
        sizes[i] = mix(i) % 3 == 0 ? 0 : mix(i + 1) % 3000;
    sizes[count / 2] = 5 << 20;
    sizes[count - 1] = 1 << 20;
    sizes[1] = 1;
    return sizes;
}

static forkfold_call_options bytes_options(const uint64_t *sizes, uint64_t count)
{
    return (forkfold_call_options){.function = write_bytes,
                                   .count = count,
                                   .arrays = {{.data = sizes, .item_bytes = sizeof(*sizes)}},
                                   .array_count = 1,
                                   .results_vary = 1};
}

static void results_may_vary_in_size(void **state)
{
    enum { COUNT = 500 };
    forkfold_pool *pool = open_pool(2);
    uint64_t *sizes = make_sizes(COUNT);

    (void)state;
    for (uint64_t chunk = 0; chunk < 50; chunk += 7) {
        forkfold_call_options options = bytes_options(sizes, COUNT);
        forkfold_call *call = NULL;

        options.chunk = chunk;
        assert_works(pool, forkfold_map(pool, &options, &call));
        assert_null(forkfold_call_results(call));
        for (uint64_t i = 0; i < COUNT; i++) {
            forkfold_result result;

            assert_int_equal(forkfold_call_result(call, i, &result), 0);
            assert_bytes(&result, sizes[i]);
            assert_int_equal((uintptr_t)result.data % 16, 0);
        }
        forkfold_call_close(call);
    }
    free(sizes);
    forkfold_pool_close(pool);
}

static int reserve_thrice(const forkfold_item *item)
{
    char *first = forkfold_item_reserve(item, 10);
    char *second = forkfold_item_reserve(item, 200000);
    char *last = forkfold_item_reserve(item, 4);

    if (first == NULL || second == NULL || last == NULL)
        return 3;
    memset(first, 'a', 10);
    memset(second, 'b', 200000);
    memcpy(last, "last", 4); /* NOLINT(bugprone-not-null-terminated-result): no string */
    return item->index == 7 ? 9 : 0;
}

static void last_reservation_counts(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool, forkfold_map(pool,
                                    &(forkfold_call_options){
                                        .function = reserve_thrice, .count = 20, .results_vary = 1},
                                    &call));
    for (uint64_t i = 0; i < 20; i++) {
        forkfold_result result;

        assert_int_equal(forkfold_call_result(call, i, &result), 0);
        assert_int_equal(result.failed, i == 7);
        if (i != 7)
            assert_memory_equal(result.data, "last", 4);
    }
    assert_int_equal(forkfold_call_failure(call, 0)->code, 9);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

static int reserve_wrongly(const forkfold_item *item)
{
    return forkfold_item_reserve(item, 8) == NULL ? 0 : 1;
}

static int reserve_too_much(const forkfold_item *item)
{
    return forkfold_item_reserve(item, SIZE_MAX - item->index) == NULL &&
                   forkfold_item_reserve(item, SIZE_MAX / 2) == NULL
               ? 0
               : 1;
}

static void impossible_reservations_are_refused(void **state)
{
    forkfold_pool *pool = open_pool(1);
    uint64_t result;

    (void)state;
    assert_works(pool, forkfold_apply(pool, reserve_wrongly, NULL, 0, &result, sizeof(result)));
    forkfold_call *call = NULL;

    assert_works(pool,
                 forkfold_map(pool,
                              &(forkfold_call_options){
                                  .function = reserve_too_much, .count = 80, .results_vary = 1},
                              &call));
    assert_int_equal(forkfold_call_failure_count(call), 0);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

/* ---- Arguments ----------------------------------------------------------- */

/* Arrays 0, 2, 4 and 6 hold 4-byte numbers, the others texts. */
static int add_up(const forkfold_item *item)
{
    uint64_t sum = item->array_count;

    for (unsigned a = 0; a < item->array_count; a++) {
        const unsigned char *bytes = item->arguments[a];
        uint32_t number;

        if (a % 2 == 0) {
            if (item->argument_bytes[a] != sizeof(number))
                return 1;
            memcpy(&number, bytes, sizeof(number));
            sum += number;
        }
        for (size_t i = 0; a % 2 == 1 && i < item->argument_bytes[a]; i++)
            sum += bytes[i];
    }
    *(uint64_t *)item->result = sum;
    return 0;
}

struct columns {
    uint32_t numbers[1000];
    unsigned char texts[8000];
    uint64_t offsets[1001];
};

static uint64_t fill_columns(struct columns *columns, uint64_t *text_sums)
{
    uint64_t end = 3; /* offsets need not begin with 0 */

    for (uint64_t i = 0; i < sizeof(columns->texts); i++)
        columns->texts[i] = (unsigned char)(i * 31);
    for (uint64_t i = 0; i < 1000; i++) {
        columns->numbers[i] = (uint32_t)(i * 77);
        columns->offsets[i] = end;
        text_sums[i] = 0;
        for (uint64_t length = i % 8; length > 0; length--)
            text_sums[i] += columns->texts[end++];
    }
    return columns->offsets[1000] = end;
}

static void starmap_zips_arrays_of_both_kinds(void **state)
{
    struct columns *columns = calloc(1, sizeof(*columns));
    uint64_t text_sums[1000];
    forkfold_pool *pool = open_pool(2);

    (void)state;
    assert_non_null(columns);
    fill_columns(columns, text_sums);
    for (unsigned arrays = 1; arrays <= FORKFOLD_ARRAYS_MAX; arrays++) {
        forkfold_call_options options = {
            .function = add_up, .count = 1000, .array_count = arrays, .result_bytes = 8};
        forkfold_call *call = NULL;
        forkfold_result result;

        for (unsigned a = 0; a < arrays; a++)
            options.arrays[a] =
                a % 2 == 0 ? (forkfold_array){.data = columns->numbers, .item_bytes = 4}
                           : (forkfold_array){.data = columns->texts, .offsets = columns->offsets};
        assert_works(pool, forkfold_starmap(pool, &options, &call));
        for (uint64_t i = 0; i < 1000; i++)
            assert_int_equal(((const uint64_t *)forkfold_call_results(call))[i],
                             arrays + (arrays + 1) / 2 * columns->numbers[i] +
                                 arrays / 2 * text_sums[i]);
        forkfold_call_close(call);
        options.buffer_items = 9;
        assert_works(pool, forkfold_imap(pool, &options, &call));
        for (uint64_t i = 0; i < 1000; i++) {
            assert_int_equal(forkfold_call_next(call, &result), 1);
            assert_int_equal(*(const uint64_t *)result.data,
                             arrays + (arrays + 1) / 2 * columns->numbers[i] +
                                 arrays / 2 * text_sums[i]);
        }
        assert_int_equal(forkfold_call_next(call, &result), 0);
        forkfold_call_close(call);
    }
    free(columns);
    forkfold_pool_close(pool);
}

static int copy_context(const forkfold_item *item)
{
    memcpy(item->result, item->context, item->context_bytes);
    return item->context_bytes == 5 ? 0 : 1;
}

/* They are copied when the call begins; what the host does with them then is its own matter. */
static void context_and_items_belong_to_the_host_again_at_once(void **state)
{
    forkfold_pool *pool = open_pool(1);
    uint64_t *numbers = make_numbers(1000);
    uint64_t *same = make_numbers(1000);
    char context[] = "hello";
    forkfold_call_options options = mix_options(numbers, 1000);
    forkfold_call *gate = NULL;
    forkfold_call *call = NULL;
    forkfold_call *with_context = NULL;

    (void)state;
    assert_works(pool, forkfold_apply_async(
                           pool, &(forkfold_call_options){.function = wait_at_gate}, &gate));
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    assert_works(pool, forkfold_map_async(pool,
                                          &(forkfold_call_options){.function = copy_context,
                                                                   .count = 3,
                                                                   .context = context,
                                                                   .context_bytes = 5,
                                                                   .result_bytes = 5},
                                          &with_context));
    memset(numbers, 0xff, 1000 * sizeof(*numbers));
    free(numbers);
    memset(context, 'x', sizeof(context));
    open_gate();
    assert_works(pool, forkfold_call_wait(call, UINT64_MAX));
    assert_mixed(call, same, 1000);
    assert_works(pool, forkfold_call_wait(with_context, UINT64_MAX));
    assert_int_equal(forkfold_call_failure_count(with_context), 0);
    assert_memory_equal(forkfold_call_results(with_context), "hellohellohello", 15);
    forkfold_call_close(gate);
    forkfold_call_close(call);
    forkfold_call_close(with_context);
    free(same);
    forkfold_pool_close(pool);
}

static int tell_alignment(const forkfold_item *item)
{
    memset(item->result, (int)((uintptr_t)item->result % 16), 48);
    return 0;
}

static void results_are_aligned(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool,
                 forkfold_map(pool,
                              &(forkfold_call_options){
                                  .function = tell_alignment, .count = 50, .result_bytes = 48},
                              &call));
    for (unsigned i = 0; i < 50 * 48; i++)
        assert_int_equal(((const char *)forkfold_call_results(call))[i], 0);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

/* ---- Results while they come --------------------------------------------- */

static void imap_gives_results_in_order_and_unordered_each_once(void **state)
{
    static const uint64_t counts[] = {0, 1, 2, 1000, 30000};
    static const uint64_t buffers[] = {0, 1, 2, 3, 64, 100000};
    static const uint64_t chunks[] = {0, 1, 5, 1000000};
    uint64_t *numbers = make_numbers(30000);
    forkfold_pool *pool = open_pool(3);

    (void)state;
    for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++)
        for (size_t b = 0; b < sizeof(buffers) / sizeof(buffers[0]); b++)
            for (size_t c = 0; c < sizeof(chunks) / sizeof(chunks[0]); c++) {
                forkfold_call_options options = mix_options(numbers, counts[n]);
                forkfold_call *call = NULL;

                options.buffer_items = buffers[b];
                options.chunk = chunks[c];
                assert_works(pool, forkfold_imap(pool, &options, &call));
                assert_imap_mixed(call, numbers, counts[n], true);
                forkfold_call_close(call);
                assert_works(pool, forkfold_imap_unordered(pool, &options, &call));
                assert_imap_mixed(call, numbers, counts[n], false);
                forkfold_call_close(call);
            }
    free(numbers);
    forkfold_pool_close(pool);
}

static void imap_results_may_vary_in_size(void **state)
{
    enum { COUNT = 3000 };
    forkfold_pool *pool = open_pool(2);
    uint64_t *sizes = make_sizes(COUNT);

    (void)state;
    for (unsigned unordered = 0; unordered < 2; unordered++) {
        forkfold_call_options options = bytes_options(sizes, COUNT);
        forkfold_call *call = NULL;
        forkfold_result result;
        uint64_t read = 0;

        options.buffer_items = 33;
        assert_works(pool,
                     (unordered ? forkfold_imap_unordered : forkfold_imap)(pool, &options, &call));
        for (; forkfold_call_next(call, &result) == 1; read++)
            assert_bytes(&result, sizes[result.index]);
        assert_int_equal(read, COUNT);
        forkfold_call_close(call);
    }
    free(sizes);
    forkfold_pool_close(pool);
}

/* The slow first item holds the others up as far as the buffer goes, and no further. */
static void unread_results_hold_the_workers_up(void **state)
{
    enum { COUNT = 10000, BUFFER = 50 };
    forkfold_pool *pool = open_pool(2);
    uint64_t *numbers = make_numbers(COUNT);
    forkfold_call_options options = mix_options(numbers, COUNT);
    forkfold_call *call = NULL;
    forkfold_result result;

    (void)state;
    options.buffer_items = BUFFER;
    assert_works(pool, forkfold_imap(pool, &options, &call));
    for (uint64_t i = 0; i < 200; i++) {
        assert_int_equal(forkfold_call_next(call, &result), 1);
        assert_true(script->runs <= i + BUFFER);
    }
    forkfold_call_close(call);
    assert_pool_is_well(pool);
    free(numbers);
    forkfold_pool_close(pool);
}

/* ---- Single calls -------------------------------------------------------- */

static void apply_returns_the_result(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t result = 0;

        assert_works(pool, forkfold_apply(pool, mix_item, &i, sizeof(i), &result, sizeof(result)));
        assert_int_equal(result, mixed(i, 0));
    }
    assert_works(pool, forkfold_apply(pool, run_only, NULL, 0, NULL, 0));
    forkfold_pool_close(pool);
}

static void apply_that_fails_says_why_and_leaves_the_result_alone(void **state)
{
    forkfold_pool *pool = open_pool(1);
    uint64_t argument = 1;
    uint64_t result = 77;

    (void)state;
    plan(FAIL, 0, 1);
    assert_int_equal(forkfold_apply(pool, mix_item, &argument, 8, &result, 8), FORKFOLD_E_FAILED);
    assert_int_equal(result, 77);
    assert_string_equal(forkfold_pool_message(pool), "item 0 is bad");
    plan(SEGV, 0, 3);
    assert_int_equal(forkfold_apply(pool, mix_item, &argument, 8, &result, 8), FORKFOLD_E_FAILED);
    assert_int_equal(result, 77);
    assert_works(pool, forkfold_apply(pool, mix_item, &argument, 8, &result, 8));
    assert_int_equal(result, mixed(1, 0));
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRIPT(chunk_size_follows_its_table),
        WITH_SCRIPT(map_gives_every_item_its_result),
        WITH_SCRIPT(map_without_data_runs_every_index),
        WITH_SCRIPT(results_of_different_sizes_do_not_mix),
        WITH_SCRIPT(results_may_vary_in_size),
        WITH_SCRIPT(last_reservation_counts),
        WITH_SCRIPT(impossible_reservations_are_refused),
        WITH_SCRIPT(starmap_zips_arrays_of_both_kinds),
        WITH_SCRIPT(context_and_items_belong_to_the_host_again_at_once),
        WITH_SCRIPT(results_are_aligned),
        WITH_SCRIPT(imap_gives_results_in_order_and_unordered_each_once),
        WITH_SCRIPT(imap_results_may_vary_in_size),
        WITH_SCRIPT(unread_results_hold_the_workers_up),
        WITH_SCRIPT(apply_returns_the_result),
        WITH_SCRIPT(apply_that_fails_says_why_and_leaves_the_result_alone),
    };

    return cmocka_run_group_tests(tests, make_script, NULL);
}
