/* SPDX-License-Identifier: Apache-2.0 */
/* What workers keep of the host's, and what hosts with a language of their own learn of them. */
#include "item_script.h"

#include <poll.h>
#include <sys/syscall.h>

/* ---- Descriptors --------------------------------------------------------- */

/* Writes a byte to the descriptor that the argument names; its result is whether that went well. */
static int write_to(const forkfold_item *item)
{
    int fd;

    memcpy(&fd, item->arguments[0], sizeof(fd));
    *(uint64_t *)item->result = write(fd, "x", 1) == 1;
    return 0;
}

static bool worker_can_write(forkfold_pool *pool, int fd)
{
    uint64_t result = 0;

    assert_works(pool, forkfold_apply(pool, write_to, &fd, sizeof(fd), &result, sizeof(result)));
    return result != 0;
}

static unsigned arrived(int fd)
{
    char bytes[64];
    ssize_t count = read(fd, bytes, sizeof(bytes));

    return count < 0 ? 0 : (unsigned)count;
}

static void descriptors_are_kept_if_wanted(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    for (int keep = 0; keep <= 1; keep++) {
        forkfold_pool *pool =
            open_pool_with(&(forkfold_pool_options){.workers = 2, .keep_descriptors = keep});

        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(worker_can_write(pool, ends[1]), keep);
        assert_int_equal(arrived(ends[0]), keep ? 5 : 0);
        forkfold_pool_close(pool);
    }
    close(ends[0]);
    close(ends[1]);
}

static void kept_standard_output_is_the_hosts(void **state)
{
    int ends[2];
    int before = dup(STDOUT_FILENO);

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    for (int keep = 0; keep <= 1; keep++) {
        fflush(stdout);
        dup2(ends[1], STDOUT_FILENO);
        forkfold_pool *pool =
            open_pool_with(&(forkfold_pool_options){.workers = 1, .keep_descriptors = keep});
        bool written = worker_can_write(pool, STDOUT_FILENO);

        dup2(before, STDOUT_FILENO);
        forkfold_pool_close(pool);
        assert_true(written); /* to /dev/null, if nowhere else */
        assert_int_equal(arrived(ends[0]), keep);
    }
    close(ends[0]);
    close(ends[1]);
    close(before);
}

/* A replacement has them too, and the host's death still ends the pool: its lifeline is no gift. */
static void replacements_keep_descriptors_and_pools_still_end(void **state)
{
    int ends[2];
    pid_t host;
    int status;
    char byte;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    host = fork();
    if (host == 0) {
        forkfold_pool *pool =
            open_pool_with(&(forkfold_pool_options){.workers = 1, .keep_descriptors = 1});
        bool first = worker_can_write(pool, ends[1]);

        plan(KILL, 0, 1);
        assert_pool_is_well(pool);
        _exit(first && worker_can_write(pool, ends[1]) ? 0 : 1);
    }
    close(ends[1]);
    assert_int_equal(waitpid(host, &status, 0), host);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    /* The end of the file: neither supervisor nor workers are there any more. */
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}

/* ---- Process ids --------------------------------------------------------- */

static int tell_pid(const forkfold_item *item)
{
    *(uint64_t *)item->result = (uint64_t)getpid();
    return 0;
}

static void worker_of_a_slot_has_its_process_id(void **state)
{
    forkfold_pool *pool = open_pool(1);
    uint64_t pid = 0;
    uint64_t next = 0;

    (void)state;
    assert_works(pool, forkfold_apply(pool, tell_pid, NULL, 0, &pid, sizeof(pid)));
    assert_int_equal(forkfold_pool_worker(pool, 0), pid);
    assert_int_equal(forkfold_pool_worker(pool, 1), 0);
    kill((pid_t)pid, SIGKILL);
    assert_works(pool, forkfold_apply(pool, tell_pid, NULL, 0, &next, sizeof(next)));
    while (next == pid) /* it may have been quicker than the signal */
        assert_works(pool, forkfold_apply(pool, tell_pid, NULL, 0, &next, sizeof(next)));
    assert_int_equal(forkfold_pool_worker(pool, 0), next);
    forkfold_pool_close(pool);
}

/* ---- What others write of a crash ---------------------------------------- */

static int text_fd;
static struct sigaction before_ours;

/* As the fault handler of an interpreter does: writes, restores what was there, and hands on. */
static void write_and_hand_on(int signal_number)
{
    char text[] = "frames of signal ..";

    text[sizeof(text) - 3] = (char)('0' + signal_number / 10);
    text[sizeof(text) - 2] = (char)('0' + signal_number % 10);
    (void)!write(text_fd, text, sizeof(text) - 1);
    sigaction(signal_number, &before_ours, NULL);
    raise(signal_number);
}

static int install_handler(void *context)
{
    const int signal_number = *(const int *)context;
    struct sigaction action = {.sa_handler = write_and_hand_on, .sa_flags = SA_NODEFER};

    text_fd = memfd_create("text", MFD_CLOEXEC);
    if (text_fd < 0 || forkfold_worker_crash_text(text_fd) != 0)
        return 1;
    sigaction(signal_number, &action, &before_ours);
    return forkfold_worker_crash_text(text_fd);
}

static int die_of(const forkfold_item *item)
{
    const int signal_number = *(const int *)item->arguments[0];
    volatile int *volatile wild = (volatile int *)0x18;

    if (signal_number != SIGSEGV)
        raise(signal_number);
    *wild = 1;
    return 0;
}

static void text_of_other_handlers_is_in_the_failure(void **state)
{
    static const int signals[] = {SIGSEGV, SIGABRT, SIGFPE};

    (void)state;
    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        int signal_number = signals[i];
        char text[32];
        forkfold_pool *pool = open_pool_with(&(forkfold_pool_options){
            .workers = 1, .initializer = install_handler, .initializer_context = &signal_number});
        forkfold_call_options options = {
            .function = die_of,
            .count = 1,
            .arrays = {{.data = &signal_number, .item_bytes = sizeof(signal_number)}},
            .array_count = 1};
        const forkfold_item_failure *failure;
        forkfold_call *call;

        assert_works(pool, forkfold_map(pool, &options, &call));
        failure = forkfold_call_failure(call, 0);
        assert_non_null(failure);
        assert_int_equal(failure->signal, signal_number);
        assert_int_equal(failure->has_address, signal_number == SIGSEGV);
        if (!SANITIZED)
            assert_non_null(strstr(failure->backtrace, "die_of"));
        snprintf(text, sizeof(text), "frames of signal %02d", signal_number);
        assert_non_null(failure->text);
        assert_string_equal(failure->text, text);
        forkfold_call_close(call);
        forkfold_pool_close(pool);
    }
}

static void crash_without_other_handlers_has_no_text(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_call_options options = {.function = run_only, .count = 1};
    forkfold_call *call;

    (void)state;
    plan(SEGV, 0, 1000);
    assert_int_equal(forkfold_worker_crash_text(STDERR_FILENO), FORKFOLD_E_INVALID);
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_non_null(forkfold_call_failure(call, 0));
    assert_null(forkfold_call_failure(call, 0)->text);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

/* ---- Reading without waiting --------------------------------------------- */

static void next_within_waits_no_longer_than_told(void **state)
{
    enum { ITEMS = 5 };
    forkfold_pool *pool = open_pool(2);
    forkfold_call_options options = {
        .function = wait_at_gate, .count = ITEMS, .result_bytes = sizeof(uint64_t)};
    forkfold_result result;
    forkfold_call *call;

    (void)state;
    assert_works(pool, forkfold_imap(pool, &options, &call));
    assert_int_equal(forkfold_call_next_within(call, &result, 0), FORKFOLD_E_PENDING);
    assert_int_equal(forkfold_call_next_within(call, &result, FF_NS_PER_MS), FORKFOLD_E_PENDING);
    open_gate();
    for (uint64_t i = 0; i < ITEMS; i++) {
        assert_int_equal(forkfold_call_next_within(call, &result, UINT64_MAX), 1);
        assert_int_equal(*(const uint64_t *)result.data, i + 1);
    }
    assert_int_equal(forkfold_call_next_within(call, &result, 0), 0);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

/* However results come, in bursts or one by one, a loop that only polls gets all of them. */
static void event_loop_hears_of_every_burst(void **state)
{
    enum { ITEMS = 20000 };
    forkfold_pool *pool = open_pool(2);
    uint64_t *numbers = make_numbers(ITEMS);
    forkfold_call_options options = mix_options(numbers, ITEMS);
    struct pollfd loop = {.fd = forkfold_pool_fd(pool), .events = POLLIN};
    forkfold_result result;
    forkfold_call *call;
    uint64_t read = 0;
    int code;

    (void)state;
    assert_works(pool, forkfold_imap_unordered(pool, &options, &call));
    for (;;) {
        while ((code = forkfold_call_next_within(call, &result, 0)) == 1) {
            assert_int_equal(*(const uint64_t *)result.data,
                             mixed(numbers[result.index], result.index));
            read++;
        }
        if (code != FORKFOLD_E_PENDING)
            break;
        assert_int_equal(poll(&loop, 1, -1), 1);
        assert_works(pool, forkfold_pool_dispatch(pool));
    }
    assert_int_equal(code, 0);
    assert_int_equal(read, ITEMS);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
    free(numbers);
}

/* ---- Stopping ------------------------------------------------------------ */

static void results_outlive_the_processes_of_a_stopped_pool(void **state)
{
    enum { ITEMS = 100 };
    forkfold_pool *pool = open_pool(2);
    uint64_t *numbers = make_numbers(ITEMS);
    forkfold_call_options options = mix_options(numbers, ITEMS);
    forkfold_call_options endless = {.function = wait_at_gate, .count = 3};
    forkfold_call *done;
    forkfold_call *running;
    forkfold_call *next;

    (void)state;
    assert_works(pool, forkfold_map(pool, &options, &done));
    assert_works(pool, forkfold_map_async(pool, &endless, &running));
    await_reached(2);
    forkfold_pool_stop(pool);
    assert_int_equal(forkfold_pool_worker(pool, 0), 0);
    assert_mixed(done, numbers, ITEMS);
    assert_int_equal(forkfold_call_wait(running, UINT64_MAX), FORKFOLD_E_SUPERVISOR);
    assert_int_equal(forkfold_map(pool, &options, &next), FORKFOLD_E_SUPERVISOR);
    forkfold_call_close(running);
    assert_mixed(done, numbers, ITEMS);
    forkfold_call_close(done);
    forkfold_pool_stop(pool);
    forkfold_pool_close(pool);
    free(numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRIPT(descriptors_are_kept_if_wanted),
        WITH_SCRIPT(kept_standard_output_is_the_hosts),
        WITH_SCRIPT(replacements_keep_descriptors_and_pools_still_end),
        WITH_SCRIPT(worker_of_a_slot_has_its_process_id),
        WITH_SCRIPT(text_of_other_handlers_is_in_the_failure),
        WITH_SCRIPT(crash_without_other_handlers_has_no_text),
        WITH_SCRIPT(next_within_waits_no_longer_than_told),
        WITH_SCRIPT(results_outlive_the_processes_of_a_stopped_pool),
        WITH_SCRIPT(event_loop_hears_of_every_burst),
    };

    return cmocka_run_group_tests(tests, make_script, NULL);
}
