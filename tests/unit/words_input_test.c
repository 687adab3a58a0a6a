/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which a count posts what it finds.  No call is begun, so that no worker claims, but
 * for the cursor that the tests move.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <forkfold.h>

#include "jobs/words_input.h"
#include "random_keys.h"

enum {
    WORKERS = 3,
    BATCH_FILES = 64,
    FED = 8 * WORKERS,
    KEPT = 16 * WORKERS,
    SMALL = 100,
    BIG = 3000000, /* is not cut */
    HUGE_FILE = 9000000,
    TASKS_MAX = 4096
};

struct fixture {
    forkfold_pool *pool;
    struct ff_words_input input;
};

static void open_input(struct fixture *f, unsigned workers)
{
    *f = (struct fixture){0};
    assert_int_equal(
        forkfold_pool_open(&f->pool, &(forkfold_pool_options){.workers = workers}, NULL, 0), 0);
    for (unsigned i = 0; i < FF_BOARD_COUNT; i++)
        ff_board_reset(&f->pool->layout.boards[i]);
    assert_int_equal(ff_words_input_open(&f->input, f->pool), 0);
    f->input.context->split_bytes = 4 << 20;
    f->input.context->cuts_finely = true;
}

static void close_input(struct fixture *f)
{
    forkfold_pool_close(f->pool);
}

static void find(struct fixture *f, uint64_t bytes)
{
    struct ff_found found = {
        .kind = FF_FOUND_FILE, .path = "folder/file", .path_bytes = 11, .size = bytes};

    assert_int_equal(ff_words_input_add(&f->input, f->pool, &found), 0);
}

static void find_batches(struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < count * BATCH_FILES; i++)
        find(f, SMALL);
}

static struct ff_board *board_of(struct fixture *f)
{
    return &f->pool->layout.boards[FF_MAIN];
}

static uint64_t posted(struct fixture *f)
{
    return ff_board_posted(board_of(f));
}

static struct ff_task task_at(struct fixture *f, uint64_t number)
{
    struct ff_task task = {0};
    size_t near = 0;

    assert_true(ff_board_task(board_of(f), number, &near, &task));
    return task;
}

static void claim_all(struct fixture *f)
{
    uint64_t number;

    while (ff_board_claim(board_of(f), &number))
        continue;
}

/* Every item is in one task, and no task has anything else. */
static void check_items(struct fixture *f)
{
    static bool seen[TASKS_MAX * BATCH_FILES];

    assert_in_range(f->input.count, 1, sizeof(seen));
    memset(seen, 0, sizeof(seen));
    for (uint64_t number = 0; number < posted(f); number++) {
        struct ff_task task = task_at(f, number);

        for (uint64_t item = task.first; item < task.first + task.count; item++) {
            assert_in_range(item, 0, f->input.count - 1);
            assert_false(seen[item]);
            seen[item] = true;
        }
    }
    for (uint64_t item = 0; item < f->input.count; item++)
        assert_true(seen[item]);
    assert_int_equal(ff_board_items(board_of(f)), f->input.count);
}

static void workers_that_have_nothing_get_all_at_once(void **state)
{
    struct fixture f;

    (void)state;
    open_input(&f, WORKERS);
    for (unsigned i = 0; i < FED; i++) {
        find_batches(&f, 1);
        assert_int_equal(posted(&f), i + 1);
    }
    find_batches(&f, KEPT);
    assert_int_equal(posted(&f), FED);
    find_batches(&f, 1);
    assert_int_equal(posted(&f), FED + 1);
    claim_all(&f);
    assert_int_equal(ff_words_input_feed(&f.input, f.pool), 0);
    assert_int_equal(posted(&f), FED + 1 + FED);
    assert_int_equal(ff_words_input_flush(&f.input, f.pool), 0);
    assert_int_equal(posted(&f), FED + KEPT + 1);
    check_items(&f);
    close_input(&f);
}

/* However many small files came before it. */
static void big_file_at_the_end_is_not_the_last_task(void **state)
{
    struct fixture f;

    (void)state;
    for (unsigned batches = FED + 4; batches < FED + 3 * KEPT; batches += KEPT / 2) {
        uint64_t big;

        open_input(&f, WORKERS);
        find_batches(&f, batches);
        big = f.input.count;
        find(&f, BIG);
        assert_int_equal(ff_words_input_flush(&f.input, f.pool), 0);

        unsigned behind = batches - FED < KEPT ? batches - FED : KEPT;

        assert_int_equal(posted(&f), batches + 1);
        assert_in_range(batches - behind, FED, batches);
        assert_int_equal(task_at(&f, batches - behind).first, big);
        assert_int_equal(task_at(&f, batches - behind).count, 1);
        check_items(&f);
        close_input(&f);
    }
}

static void pieces_come_before_small_files_and_in_order(void **state)
{
    struct fixture f;
    uint64_t before;

    (void)state;
    open_input(&f, WORKERS);
    find_batches(&f, FED + 6);
    before = f.input.count;
    find(&f, HUGE_FILE);
    assert_int_equal(posted(&f), FED);
    assert_int_equal(ff_words_input_flush(&f.input, f.pool), 0);
    for (uint64_t i = 0; i < f.input.count - before; i++)
        assert_int_equal(task_at(&f, FED + i).first, before + i);
    assert_int_equal(posted(&f), FED + f.input.count - before + 6);
    check_items(&f);
    close_input(&f);
}

static void standard_input_goes_before_files(void **state)
{
    struct ff_found found = {.kind = FF_FOUND_STDIN, .path = "-", .path_bytes = 1};
    struct fixture f;
    uint64_t number;

    (void)state;
    open_input(&f, WORKERS);
    find_batches(&f, FED);
    find(&f, BIG);
    find(&f, SMALL);
    number = f.input.count;
    assert_int_equal(ff_words_input_add(&f.input, f.pool, &found), 0);
    assert_int_equal(ff_words_input_flush(&f.input, f.pool), 0);
    assert_int_equal(task_at(&f, FED).first, number);
    assert_int_equal(task_at(&f, FED).count, 1);
    check_items(&f);
    close_input(&f);
}

static void one_worker_has_them_in_the_order_found(void **state)
{
    struct fixture f;
    uint64_t next = 0;

    (void)state;
    open_input(&f, 1);
    for (unsigned i = 0; i < 500; i++)
        find(&f, random_below(20) == 0 ? BIG : SMALL * (1 + random_below(50)));
    assert_int_equal(ff_words_input_flush(&f.input, f.pool), 0);
    for (uint64_t number = 0; number < posted(&f); number++) {
        assert_int_equal(task_at(&f, number).first, next);
        next += task_at(&f, number).count;
    }
    check_items(&f);
    close_input(&f);
}

/* Files of all sizes, while somebody claims: nothing is lost, nothing comes twice. */
static void every_item_is_posted_once(void **state)
{
    struct fixture f;

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        open_input(&f, 2 + round % 5);
        for (unsigned i = 0; i < 2000; i++) {
            uint64_t number;

            find(&f, random_below(UINT64_C(1) << random_below(24)));
            if (random_below(8) == 0)
                (void)ff_board_claim(board_of(&f), &number);
            if (random_below(500) == 0)
                claim_all(&f);
            if (random_below(100) == 0)
                assert_int_equal(ff_words_input_feed(&f.input, f.pool), 0);
        }
        assert_int_equal(ff_words_input_flush(&f.input, f.pool), 0);
        check_items(&f);
        close_input(&f);
    }
}

static void heap_gives_the_largest_and_of_equals_the_first(void **state)
{
    struct ff_weighed_task tasks[100];
    struct ff_task_heap heap = {.tasks = tasks, .capacity = 100};

    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        struct ff_weighed_task last = {.weight = UINT64_MAX};
        uint64_t count = random_below(101);
        uint64_t sum = 0;

        for (uint64_t i = 0; i < count; i++) {
            ff_task_heap_push(&heap, (struct ff_weighed_task){.weight = random_below(30),
                                                              .first = (i * 37) % 101,
                                                              .count = i + 1});
            sum += i + 1;
        }
        for (uint64_t i = 0; i < count; i++) {
            struct ff_weighed_task task = ff_task_heap_pop(&heap);

            assert_true(task.weight < last.weight ||
                        (task.weight == last.weight && task.first > last.first));
            sum -= task.count;
            last = task;
        }
        assert_int_equal(heap.count, 0);
        assert_int_equal(sum, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_that_have_nothing_get_all_at_once),
        cmocka_unit_test(big_file_at_the_end_is_not_the_last_task),
        cmocka_unit_test(pieces_come_before_small_files_and_in_order),
        cmocka_unit_test(standard_input_goes_before_files),
        cmocka_unit_test(one_worker_has_them_in_the_order_found),
        cmocka_unit_test(every_item_is_posted_once),
        cmocka_unit_test(heap_gives_the_largest_and_of_equals_the_first),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
