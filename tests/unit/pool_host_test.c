/* SPDX-License-Identifier: Apache-2.0 */
/* The pool and the process that uses it: its children, signals, descriptors and other pools. */
#include "sum_job.h"

static void lost_supervisor_is_reported_by_every_call(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    assert_sums(pool, 100, 1);
    kill(pool->supervisor, SIGKILL);
    assert_int_equal(run_call(pool, 1000000, 1, &(struct ff_call_options){0}),
                     FORKFOLD_E_SUPERVISOR);
    assert_int_equal(ff_call_check(pool), FORKFOLD_E_SUPERVISOR);
    forkfold_pool_close(pool);
}

static void stopped_supervisor_does_not_keep_the_pool_from_closing(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    assert_sums(pool, 100, 1);
    kill(pool->supervisor, SIGSTOP);
    forkfold_pool_close(pool);
}

static void pool_of_another_process_is_refused(void **state)
{
    forkfold_pool *pool = open_pool(2);
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        int code = ff_call_check(pool);

        forkfold_pool_close(pool);
        _exit(code == FORKFOLD_E_FORKED ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_sums(pool, 100, 1);
    forkfold_pool_close(pool);
}

static void pool_closes_while_another_child_holds_its_lifeline(void **state)
{
    forkfold_pool *pool = open_pool(2);
    int to_child[2];
    char byte;

    (void)state;
    assert_int_equal(pipe(to_child), 0);
    pid_t child = fork();

    if (child == 0) {
        close(to_child[1]);
        _exit(read(to_child[0], &byte, 1) == 0 ? 0 : 1);
    }
    uint64_t before = ff_clock_ns();

    forkfold_pool_close(pool);
    /* The patience of the close is two seconds; it was not needed. */
    assert_in_range(ff_clock_ns() - before, 0, 1900 * FF_NS_PER_MS);
    close(to_child[0]);
    close(to_child[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void host_that_ignores_its_children_is_served(void **state)
{
    struct sigaction old;
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)state;
    sigaction(SIGCHLD, &ignore, &old);
    forkfold_pool *pool = open_pool(2);

    plan(KILL, 5, 1);
    assert_sums(pool, 100, 1);
    forkfold_pool_close(pool);
    sigaction(SIGCHLD, &old, NULL);
}

static volatile sig_atomic_t child_signals;

static void on_child(int number)
{
    (void)number;
    child_signals++;
}

static void hosts_children_mask_and_handlers_are_left_alone(void **state)
{
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    struct sigaction now;
    sigset_t before;
    sigset_t after;
    int status;

    (void)state;
    sigaction(SIGCHLD, &action, NULL);
    sigprocmask(SIG_BLOCK, NULL, &before);
    pid_t own = fork();

    if (own == 0)
        _exit(9);
    forkfold_pool *pool = open_pool(2);

    plan(KILL, 5, 2);
    assert_sums(pool, 100, 1);
    forkfold_pool_close(pool);
    assert_int_equal(waitpid(own, &status, 0), own);
    assert_int_equal(WEXITSTATUS(status), 9);
    assert_int_equal(waitpid(-1, &status, 0), -1);
    assert_int_equal(errno, ECHILD);
    sigaction(SIGCHLD, NULL, &now);
    assert_ptr_equal(now.sa_handler, on_child);
    sigprocmask(SIG_BLOCK, NULL, &after);
    for (int number = 1; number < NSIG; number++)
        assert_int_equal(sigismember(&before, number), sigismember(&after, number));
    signal(SIGCHLD, SIG_DFL);
}

static void several_pools_work_side_by_side(void **state)
{
    forkfold_pool *one = open_pool(2);
    forkfold_pool *two = open_pool(3);

    (void)state;
    assert_sums(one, 1000, 3);
    assert_sums(two, 2000, 3);
    forkfold_pool_close(one);
    assert_sums(two, 500, 3);
    forkfold_pool_close(two);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void closed_pool_leaves_no_descriptor(void **state)
{
    unsigned before = open_descriptors();

    (void)state;
    for (int i = 0; i < 3; i++) {
        forkfold_pool *pool = open_pool(2);

        assert_sums(pool, 10, 1);
        forkfold_pool_close(pool);
    }
    assert_int_equal(open_descriptors(), before);
}

static void on_alarm(int number)
{
    (void)number;
}

/* Interrupts every blocking call of the test, over and over. */
static void start_interruptions(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval often = {.it_interval.tv_usec = 2000, .it_value.tv_usec = 2000};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

static void stop_interruptions(void)
{
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    signal(SIGALRM, SIG_DFL);
}

static void hosts_signals_disturb_neither_abort_nor_close(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    start_interruptions();
    for (int i = 0; i < 5; i++) {
        plan(HANG, 7, 1);
        assert_int_equal(
            run_call(pool, 20, 1,
                     &(struct ff_call_options){.deadline_at_ns =
                                                   ff_call_clock_ns(pool) + 10 * FF_NS_PER_MS}),
            FORKFOLD_E_DEADLINE);
    }
    plan(HARMLESS, 0, 0);
    assert_sums(pool, 100, 1);
    kill(pool->supervisor, SIGSTOP);
    forkfold_pool_close(pool);
    stop_interruptions();
}

static void host_with_closed_standard_descriptors_is_served(void **state)
{
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        forkfold_pool *pool = open_pool(2);
        int code = run_call(pool, 1000, 1, &(struct ff_call_options){0});
        uint64_t items = code == 0 ? result_of(pool).items : 0;

        forkfold_pool_close(pool);
        _exit(items == 1000 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* I5: the supervisor of a second pool has no part of the first one's region. */
static void pools_do_not_see_each_others_regions(void **state)
{
    forkfold_pool *one = open_pool(1);
    forkfold_pool *two = open_pool(1);
    char path[64];
    char line[512];
    bool found = false;

    (void)state;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)two->supervisor);
    FILE *maps = fopen(path, "r");

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        uintptr_t start = (uintptr_t)strtoull(line, NULL, 16);

        found |= start == (uintptr_t)one->layout.region.base;
    }
    fclose(maps);
    assert_false(found);
    forkfold_pool_close(one);
    forkfold_pool_close(two);
}

static void bad_options_are_refused_with_a_reason(void **state)
{
    forkfold_pool *pool = NULL;
    char message[512] = "";

    (void)state;
    assert_int_equal(forkfold_pool_open(&pool, &(forkfold_pool_options){.workers = 100000}, message,
                                        sizeof(message)),
                     FORKFOLD_E_INVALID);
    assert_non_null(strstr(message, "100000"));
    assert_int_equal(
        forkfold_pool_open(&pool, &(forkfold_pool_options){.size = 3}, message, sizeof(message)),
        FORKFOLD_E_INVALID);
    assert_null(pool);
    forkfold_pool_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRIPT(lost_supervisor_is_reported_by_every_call),
        WITH_SCRIPT(stopped_supervisor_does_not_keep_the_pool_from_closing),
        WITH_SCRIPT(pool_of_another_process_is_refused),
        WITH_SCRIPT(pool_closes_while_another_child_holds_its_lifeline),
        WITH_SCRIPT(host_that_ignores_its_children_is_served),
        WITH_SCRIPT(hosts_children_mask_and_handlers_are_left_alone),
        WITH_SCRIPT(several_pools_work_side_by_side),
        WITH_SCRIPT(closed_pool_leaves_no_descriptor),
        WITH_SCRIPT(hosts_signals_disturb_neither_abort_nor_close),
        WITH_SCRIPT(host_with_closed_standard_descriptors_is_served),
        WITH_SCRIPT(pools_do_not_see_each_others_regions),
        WITH_SCRIPT(bad_options_are_refused_with_a_reason),
    };

    return cmocka_run_group_tests(tests, make_script, NULL);
}
