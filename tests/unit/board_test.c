/* SPDX-License-Identifier: Apache-2.0 */
/* The board as threads, so that the thread sanitizer sees its claims. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "memory/board.h"

enum { TASKS = 20000, CLAIMERS = 4 };

struct fixture {
    struct ff_board_shared shared;
    struct ff_cursor_shared cursor;
    struct ff_posting postings[TASKS];
    struct ff_board board;
    ff_word64 claimed[TASKS]; /* how often */
};

static struct fixture *make(size_t capacity)
{
    struct fixture *f = aligned_alloc(64, (sizeof(*f) + 63) & ~(size_t)63);

    assert_non_null(f);
    memset(f, 0, sizeof(*f));
    f->board = (struct ff_board){
        .shared = &f->shared, .cursor = &f->cursor, .postings = f->postings, .capacity = capacity};
    ff_board_reset(&f->board);
    return f;
}

static struct ff_task task_of(const struct fixture *f, uint64_t number)
{
    struct ff_task task;
    size_t near = 0;

    assert_true(ff_board_task(&f->board, number, &near, &task));
    return task;
}

static void empty_board_has_no_work(void **state)
{
    struct fixture *f = make(TASKS);
    uint64_t number;

    (void)state;
    assert_false(ff_board_has_work(&f->board));
    assert_false(ff_board_claim(&f->board, &number));
    assert_false(ff_board_is_exhausted(&f->board));
    ff_board_close(&f->board);
    assert_true(ff_board_is_exhausted(&f->board));
    free(f);
}

static void tasks_are_claimed_in_order(void **state)
{
    struct fixture *f = make(TASKS);
    uint64_t number;

    (void)state;
    for (uint64_t i = 0; i < 3; i++)
        assert_true(
            ff_board_post(&f->board, (struct ff_task){.first = 10 * i, .count = i + 1}, i + 1));
    for (uint64_t i = 0; i < 3; i++) {
        assert_true(ff_board_claim(&f->board, &number));
        assert_int_equal(number, i);
        assert_int_equal(task_of(f, number).first, 10 * i);
    }
    assert_false(ff_board_claim(&f->board, &number));
    free(f);
}

/* Postings of all sizes; every task is found from every place to begin at. */
static void postings_are_cut_into_tasks(void **state)
{
    struct fixture *f = make(TASKS);
    uint64_t first = 7;
    uint64_t number = 0;

    (void)state;
    for (uint64_t count = 1; count < 40; count++) {
        uint64_t chunk = 1 + count % 5;

        assert_true(ff_board_post(
            &f->board,
            (struct ff_task){
                .first = first, .count = count, .owner = f, .serial = count, .index = 1000 * count},
            chunk));
        for (uint64_t at = 0; at < count; at += chunk, number++) {
            for (size_t near = 0; near < count; near++) {
                size_t place = near;
                struct ff_task task;

                assert_true(ff_board_task(&f->board, number, &place, &task));
                assert_int_equal(place, count - 1);
                assert_int_equal(task.first, first + at);
                assert_int_equal(task.count, count - at < chunk ? count - at : chunk);
                assert_ptr_equal(task.owner, f);
                assert_int_equal(task.serial, count);
                assert_int_equal(task.index, 1000 * count + at);
            }
        }
        assert_int_equal(ff_board_posted(&f->board), number);
        first += count;
        assert_int_equal(ff_board_items(&f->board), first);
    }
    for (uint64_t i = 0; i < number; i++)
        assert_in_range(task_of(f, i).first, 7, first - 1);
    free(f);
}

static void items_end_where_the_highest_do_whatever_came_last(void **state)
{
    struct fixture *f = make(TASKS);

    (void)state;
    assert_int_equal(ff_board_items(&f->board), 0);
    assert_true(ff_board_post(&f->board, (struct ff_task){.first = 20, .count = 5}, 5));
    assert_true(ff_board_post(&f->board, (struct ff_task){.first = 0, .count = 20}, 20));
    assert_int_equal(ff_board_items(&f->board), 25);
    ff_board_reset(&f->board);
    assert_int_equal(ff_board_items(&f->board), 0);
    free(f);
}

static void full_board_refuses_and_keeps_what_it_has(void **state)
{
    struct fixture *f = make(2);

    (void)state;
    assert_true(ff_board_post(&f->board, (struct ff_task){.first = 1, .count = 1}, 1));
    assert_true(ff_board_post(&f->board, (struct ff_task){.first = 2, .count = 1}, 1));
    assert_false(ff_board_post(&f->board, (struct ff_task){.first = 3, .count = 1}, 1));
    assert_int_equal(ff_board_posted(&f->board), 2);
    assert_int_equal(task_of(f, 1).first, 2);
    free(f);
}

static void claims_past_a_smeared_cursor_find_nothing(void **state)
{
    struct fixture *f = make(4);
    struct ff_task task;
    size_t near = 0;
    uint64_t number;

    (void)state;
    assert_true(ff_board_post(&f->board, (struct ff_task){.first = 1, .count = 1}, 1));
    ff_own_set(&f->cursor.next, UINT64_MAX - 5);
    assert_false(ff_board_claim(&f->board, &number));
    assert_false(ff_board_task(&f->board, 1, &near, &task));
    assert_false(ff_board_task(&f->board, UINT64_MAX - 5, &near, &task));
    free(f);
}

static void *claim_all(void *pointer)
{
    struct fixture *f = pointer;
    struct ff_task task;
    size_t near = 0;
    uint64_t number;

    while (!ff_board_is_exhausted(&f->board)) {
        if (!ff_board_claim(&f->board, &number))
            continue;
        /* A task that can be claimed is complete. */
        if (!ff_board_task(&f->board, number, &near, &task) || task.first != number * 3 ||
            task.count != 3)
            abort();
        ff_take_next(&f->claimed[number]);
    }
    return NULL;
}

static void racing_claimers_get_each_task_once_while_it_is_posted(void **state)
{
    struct fixture *f = make(TASKS);
    pthread_t threads[CLAIMERS];

    (void)state;
    for (int i = 0; i < CLAIMERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, claim_all, f), 0);
    for (uint64_t i = 0; i < TASKS; i++)
        assert_true(ff_board_post(&f->board, (struct ff_task){.first = 3 * i, .count = 3}, 3));
    ff_board_close(&f->board);
    for (int i = 0; i < CLAIMERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < TASKS; i++)
        assert_int_equal(ff_peer_get(&f->claimed[i]), 1);
    free(f);
}

static void racing_claimers_get_each_task_once_after_the_close(void **state)
{
    struct fixture *f = make(TASKS);
    pthread_t threads[CLAIMERS];

    (void)state;
    for (uint64_t i = 0; i < TASKS; i++)
        assert_true(ff_board_post(&f->board, (struct ff_task){.first = 3 * i, .count = 3}, 3));
    ff_board_close(&f->board);
    for (int i = 0; i < CLAIMERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, claim_all, f), 0);
    for (int i = 0; i < CLAIMERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < TASKS; i++)
        assert_int_equal(ff_peer_get(&f->claimed[i]), 1);
    free(f);
}

/* Every number, asked for with every place to begin at that a caller may have, and from 0. */
static void assert_forgotten(const struct fixture *f, uint64_t forgotten)
{
    size_t near = 0;

    for (uint64_t number = 0; number < TASKS; number++) {
        bool is_there = number / 2 >= forgotten;
        struct ff_task task = task_of(f, number);

        assert_int_equal(task.count, is_there);
        assert_int_equal(task.first, is_there ? number : 0);
        assert_true(ff_board_task(&f->board, number, &near, &task));
        assert_int_equal(task.count, is_there);
    }
}

static void forgotten_postings_are_tasks_of_no_items_and_take_no_memory(void **state)
{
    struct fixture *f = make(TASKS / 2);
    size_t bytes = sizeof(f->postings);

    (void)state;
    f->board.postings =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(f->board.postings != MAP_FAILED);
    for (uint64_t i = 0; i < TASKS / 2; i++)
        assert_true(ff_board_post(&f->board, (struct ff_task){.first = 2 * i, .count = 2}, 1));
    for (uint64_t forgotten = 0; forgotten < TASKS / 2; forgotten += 777) {
        ff_board_forget(&f->board, forgotten);
        assert_forgotten(f, forgotten);
    }
    assert_int_equal(f->board.postings[0].chunk, 0);
    ff_board_forget(&f->board, 3);
    assert_forgotten(f, (TASKS / 2 - 1) / 777 * 777);
    munmap(f->board.postings, bytes);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_board_has_no_work),
        cmocka_unit_test(tasks_are_claimed_in_order),
        cmocka_unit_test(postings_are_cut_into_tasks),
        cmocka_unit_test(items_end_where_the_highest_do_whatever_came_last),
        cmocka_unit_test(full_board_refuses_and_keeps_what_it_has),
        cmocka_unit_test(claims_past_a_smeared_cursor_find_nothing),
        cmocka_unit_test(racing_claimers_get_each_task_once_while_it_is_posted),
        cmocka_unit_test(racing_claimers_get_each_task_once_after_the_close),
        cmocka_unit_test(forgotten_postings_are_tasks_of_no_items_and_take_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
