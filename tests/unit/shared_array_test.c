/* SPDX-License-Identifier: Apache-2.0 */
/* Shared arrays, and the arenas that they and the calls on items come from. */
#include "item_script.h"

#include <forkfold/error.h>

#include "memory/arena.h"
#include "platform/available.h"
#include "platform/map.h"
#include "pool/call.h"
#include "random_keys.h"

/* ---- Arenas -------------------------------------------------------------- */

enum { AREA_BYTES = 1 << 20, BLOCKS = 200 };

static struct ff_area make_area(void)
{
    struct ff_area area = {.base = aligned_alloc(4096, AREA_BYTES), .bytes = AREA_BYTES};

    assert_non_null(area.base);
    return area;
}

/* Every block keeps what was written to it, whatever is taken and given back around it. */
static void blocks_do_not_overlap(void **state)
{
    struct ff_area area = make_area();
    struct ff_arena arena;
    unsigned char *blocks[BLOCKS] = {0};
    size_t sizes[BLOCKS] = {0};

    (void)state;
    ff_arena_open(&arena, area);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)(random_u64() % BLOCKS);

        if (blocks[i] != NULL) {
            for (size_t b = 0; b < sizes[i]; b++)
                assert_int_equal(blocks[i][b], i);
            ff_arena_give(&arena, blocks[i], sizes[i]);
            blocks[i] = NULL;
            continue;
        }
        sizes[i] = (size_t)(random_u64() % (UINT64_C(1) << random_u64() % 14));
        blocks[i] = ff_arena_take(&arena, sizes[i]);
        if (blocks[i] == NULL)
            continue;
        assert_int_equal((uintptr_t)blocks[i] % FF_ARENA_ALIGNMENT, 0);
        assert_true(blocks[i] >= (unsigned char *)area.base &&
                    blocks[i] + sizes[i] <= (unsigned char *)area.base + AREA_BYTES);
        memset(blocks[i], (int)i, sizes[i]);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        ff_arena_give(&arena, blocks[i], sizes[i]);
    assert_int_equal(arena.held, 0);
    assert_int_equal(arena.used, 0);
    ff_arena_close(&arena);
    free(area.base);
}

static void full_arena_refuses(void **state)
{
    struct ff_area area = make_area();
    struct ff_arena arena;

    (void)state;
    ff_arena_open(&arena, area);
    assert_null(ff_arena_take(&arena, AREA_BYTES + 1));
    assert_null(ff_arena_take(&arena, SIZE_MAX));
    assert_ptr_equal(ff_arena_take(&arena, AREA_BYTES), area.base);
    assert_null(ff_arena_take(&arena, 1));
    ff_arena_give(&arena, NULL, 5);
    ff_arena_give(&arena, area.base, AREA_BYTES);
    assert_ptr_equal(ff_arena_take(&arena, 1), area.base);
    ff_arena_close(&arena);
    free(area.base);
}

/* ---- Arrays -------------------------------------------------------------- */

static forkfold_shared *open_shared(forkfold_pool *pool, enum forkfold_type type, uint64_t count)
{
    forkfold_shared *shared = NULL;

    assert_works(pool, forkfold_shared_open(pool, type, count, &shared));
    assert_int_equal(forkfold_shared_count(shared), count);
    assert_int_equal(forkfold_shared_type(shared), type);
    return shared;
}

static void assert_is_zero(const forkfold_shared *shared, size_t bytes)
{
    const unsigned char *data = forkfold_shared_data(shared);

    for (size_t i = 0; i < bytes; i += 8)
        if (data[i] != 0)
            fail_msg("byte %zu is %d", i, data[i]);
}

/* Also where others have been: small ones and large ones, in the place of either. */
static void new_arrays_are_zero(void **state)
{
    static const uint64_t sizes[] = {100, UINT64_C(80) << 20, 100, UINT64_C(80) << 20, 5000};
    enum { WRITTEN = 1 << 16 };
    forkfold_pool *pool = open_pool(1);

    (void)state;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        forkfold_shared *shared = open_shared(pool, FORKFOLD_RAW, sizes[i]);
        forkfold_shared *beside = open_shared(pool, FORKFOLD_U8, WRITTEN);

        assert_is_zero(shared, sizes[i] < WRITTEN ? sizes[i] : WRITTEN);
        assert_is_zero(beside, WRITTEN);
        memset(forkfold_shared_data(shared), 1, sizes[i] < WRITTEN ? sizes[i] : WRITTEN);
        memset(forkfold_shared_data(beside), 2, WRITTEN);
        forkfold_shared_close(shared);
        forkfold_shared_close(beside);
    }
    forkfold_pool_close(pool);
}

static void bad_arrays_are_refused(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_shared *shared = NULL;

    (void)state;
    assert_int_equal(forkfold_shared_open(pool, FORKFOLD_F64, 0, &shared), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_shared_open(pool, (enum forkfold_type)99, 1, &shared),
                     FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_shared_open(pool, FORKFOLD_F64, UINT64_MAX / 8 + 1, &shared),
                     FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_shared_open(pool, FORKFOLD_RAW, UINT64_C(1) << 60, &shared),
                     FORKFOLD_E_LIMIT);
    assert_non_null(strstr(forkfold_pool_message(pool), "larger than the "));
    assert_null(shared);
    forkfold_shared_close(NULL);
    forkfold_pool_close(pool);
}

/* Also where the region has the addresses. */
static void arrays_larger_than_the_machine_are_refused(void **state)
{
    forkfold_pool *pool = open_pool(1);
    uint64_t memory = ff_machine_memory();
    forkfold_shared *shared = NULL;

    (void)state;
    if (pool->layout.shared.bytes <= memory + ff_page_bytes()) {
        forkfold_pool_close(pool);
        skip();
    }
    assert_int_equal(forkfold_shared_open(pool, FORKFOLD_RAW, memory + 1, &shared),
                     FORKFOLD_E_MEMORY);
    assert_non_null(strstr(forkfold_pool_message(pool), "larger than the machine's memory"));
    assert_null(shared);
    assert_works(pool, forkfold_shared_open(pool, FORKFOLD_RAW, 1, &shared));
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

/* A function that fails closes what it had opened, and its caller asks why. */
static void closing_leaves_the_message_of_the_pool(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_shared *shared = NULL;

    (void)state;
    assert_int_equal(forkfold_shared_open(pool, FORKFOLD_F64, 1, &shared), 0);
    assert_int_equal(forkfold_map(pool, NULL, NULL), FORKFOLD_E_INVALID);
    forkfold_shared_close(shared);
    assert_string_equal(forkfold_pool_message(pool), "a call needs options");
    forkfold_pool_close(pool);
}

/* ---- In calls ------------------------------------------------------------ */

/* The result is where the argument lies, the context where the array to be written does. */
static int write_square(const forkfold_item *item)
{
    uint64_t number;
    uint64_t *squares;

    memcpy(&number, item->arguments[0], sizeof(number));
    memcpy(&squares, item->context, sizeof(squares));
    squares[item->index] = number * number;
    memcpy(item->result, &item->arguments[0], sizeof(item->arguments[0]));
    return 0;
}

/* A closed call's item has still to be dropped by a worker that is busy with another call. */
static void closing_does_not_wait_for_workers(void **state)
{
    enum { BYTES = 1 << 20 };
    forkfold_pool *pool = open_pool(1);
    const forkfold_call_options options = {.function = wait_at_gate, .count = 1};
    forkfold_call *busy = NULL;
    forkfold_call *dropped = NULL;
    forkfold_shared *array = NULL;
    const void *place;

    (void)state;
    assert_works(pool, forkfold_shared_open(pool, FORKFOLD_RAW, BYTES, &array));
    assert_works(pool, forkfold_map_async(pool, &options, &busy));
    await_reached(1);
    assert_works(pool, forkfold_map_async(pool, &options, &dropped));
    forkfold_call_close(dropped);
    place = forkfold_shared_data(array);
    forkfold_shared_close(array);
    /* Nobody else has its memory meanwhile. */
    assert_works(pool, forkfold_shared_open(pool, FORKFOLD_RAW, BYTES, &array));
    assert_ptr_not_equal(forkfold_shared_data(array), place);
    forkfold_shared_close(array);
    open_gate();
    assert_works(pool, forkfold_call_wait(busy, UINT64_MAX));
    forkfold_call_close(busy);
    assert_pool_is_well(pool);
    assert_null(pool->items.retired);
    forkfold_pool_close(pool);
}

static void arrays_are_read_and_written_in_place(void **state)
{
    enum { COUNT = 10000 };
    forkfold_pool *pool = open_pool(3);
    forkfold_shared *numbers = open_shared(pool, FORKFOLD_U64, COUNT);
    forkfold_shared *squares = open_shared(pool, FORKFOLD_U64, COUNT);
    uint64_t *given = forkfold_shared_data(numbers);
    uint64_t *made = forkfold_shared_data(squares);
    forkfold_call_options options = {.function = write_square,
                                     .count = COUNT,
                                     .arrays = {{.data = given, .item_bytes = sizeof(*given)}},
                                     .array_count = 1,
                                     .context = &made,
                                     .context_bytes = sizeof(made),
                                     .outputs = {squares},
                                     .result_bytes = sizeof(void *)};
    forkfold_call *call = NULL;

    (void)state;
    for (uint64_t i = 0; i < COUNT; i++)
        given[i] = 3 * i;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_int_equal(made[i], 9 * i * i);
        assert_ptr_equal(((void *const *)forkfold_call_results(call))[i], &given[i]);
    }
    forkfold_call_close(call);
    forkfold_shared_close(numbers);
    forkfold_shared_close(squares);
    forkfold_pool_close(pool);
}

/* Before, between and after calls that may write it, too. */
static void only_outputs_can_be_written(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_shared *numbers = open_shared(pool, FORKFOLD_U64, 1);
    forkfold_shared *squares = open_shared(pool, FORKFOLD_U64, 1);
    uint64_t *made = forkfold_shared_data(squares);
    forkfold_call_options options = {
        .function = write_square,
        .count = 1,
        .arrays = {{.data = forkfold_shared_data(numbers), .item_bytes = sizeof(*made)}},
        .array_count = 1,
        .context = &made,
        .context_bytes = sizeof(made),
        .result_bytes = sizeof(void *),
        .retries_plus_one = 1};

    /* Calls that have the same outputs as the one before, fewer, others, and more. */
    const forkfold_shared *const outputs[][2] = {
        {NULL},    {squares}, {squares},          {NULL},    {squares}, {squares}, {numbers},
        {squares}, {squares}, {numbers, squares}, {numbers}, {squares}, {NULL}};

    (void)state;
    for (unsigned round = 0; round < sizeof(outputs) / sizeof(outputs[0]); round++) {
        forkfold_call *call = NULL;
        bool may = outputs[round][0] == squares || outputs[round][1] == squares;

        options.outputs[0] = outputs[round][0];
        options.outputs[1] = outputs[round][1];
        assert_works(pool, forkfold_map(pool, &options, &call));
        assert_int_equal(forkfold_call_failure_count(call), may ? 0 : 1);
        if (!may) {
            assert_int_equal(forkfold_call_failure(call, 0)->signal, SIGSEGV);
            assert_int_equal(forkfold_call_failure(call, 0)->address, (uintptr_t)made);
        }
        forkfold_call_close(call);
    }
    forkfold_shared_close(numbers);
    forkfold_shared_close(squares);
    forkfold_pool_close(pool);
}

static void outputs_of_other_pools_are_refused(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_pool *other = open_pool(1);
    forkfold_shared *shared = open_shared(other, FORKFOLD_U8, 1);
    forkfold_call_options options = {.function = run_only, .count = 1, .outputs = {shared}};
    forkfold_call *call = NULL;

    (void)state;
    assert_int_equal(forkfold_map(pool, &options, &call), FORKFOLD_E_INVALID);
    assert_int_equal(script->runs, 0);
    forkfold_shared_close(shared);
    forkfold_pool_close(other);
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_do_not_overlap),
        cmocka_unit_test(full_arena_refuses),
        WITH_SCRIPT(new_arrays_are_zero),
        WITH_SCRIPT(bad_arrays_are_refused),
        WITH_SCRIPT(arrays_larger_than_the_machine_are_refused),
        WITH_SCRIPT(closing_leaves_the_message_of_the_pool),
        WITH_SCRIPT(closing_does_not_wait_for_workers),
        WITH_SCRIPT(arrays_are_read_and_written_in_place),
        WITH_SCRIPT(only_outputs_can_be_written),
        WITH_SCRIPT(outputs_of_other_pools_are_refused),
    };

    return cmocka_run_group_tests(tests, make_script, NULL);
}
