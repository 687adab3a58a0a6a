/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts that do not fit in memory, and the process that asks for them: its children, privileges,
 * descriptors, limits, and what is left when processes die at the wrong moment.
 */
#include "words_host.h"

/* ---- Children of the host ------------------------------------------------ */

static void assert_child_may_close(unsigned distinct)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_words *words = NULL;

    assert_int_equal(count(pool, distinct, (forkfold_words_options){0}, &words), 0);
    assert_int_equal(has_spilled(words), distinct == MANY);
    assert_true(reads(words, distinct, 0, distinct / 2));
    pid_t child = start_child();

    if (child == 0) {
        forkfold_words_close(words);
        forkfold_pool_close(pool);
        _exit(0);
    }
    assert_int_equal(wait_for(child), 0);
    assert_true(reads(words, distinct, distinct / 2, distinct));
    forkfold_words_rewind(words);
    assert_true(reads(words, distinct, 0, distinct));
    forkfold_words_close(words);
    assert_true(counts(pool, distinct));
    forkfold_pool_close(pool);
}

static void child_that_closes_a_result_in_memory_leaves_it_to_its_parent(void **state)
{
    (void)state;
    assert_child_may_close(FEW);
}

static void child_that_closes_a_result_on_disk_leaves_it_to_its_parent(void **state)
{
    (void)state;
    assert_child_may_close(MANY);
}

/* ---- Detached results ----------------------------------------------------- */

static void detached_result_outlives_its_pool(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_words *words = NULL;

    (void)state;
    assert_int_equal(count(pool, FEW, (forkfold_words_options){0}, &words), 0);
    assert_true(reads(words, FEW, 0, FEW / 3));
    assert_int_equal(forkfold_words_detach(words), 0);
    assert_int_equal(forkfold_words_detach(words), 0);
    assert_true(counts(pool, FEW));
    assert_true(reads(words, FEW, 0, FEW / 3));
    forkfold_pool_close(pool);
    assert_true(reads(words, FEW, FEW / 3, FEW));
    forkfold_words_rewind(words);
    assert_true(is_right(words, FEW));
    forkfold_words_close(words);
}

static void detached_result_may_be_empty(void **state)
{
    char text[512];
    const char *path = path_of("empty", 0, text, sizeof(text));
    forkfold_words_options options = {.paths = &path, .path_count = 1};
    forkfold_pool *pool = open_pool(1);
    forkfold_words *words = NULL;
    forkfold_word word;

    (void)state;
    assert_int_equal(fclose(create("empty", 0)), 0);
    assert_int_equal(forkfold_count_words(pool, &options, &words, NULL), 0);
    assert_int_equal(forkfold_words_detach(words), 0);
    forkfold_pool_close(pool);
    assert_int_equal(forkfold_words_next(words, &word), 0);
    forkfold_words_close(words);
}

static void result_on_disk_stays_what_it_is_when_it_cannot_be_detached(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_words *words = NULL;

    (void)state;
    assert_int_equal(count(pool, MANY, (forkfold_words_options){0}, &words), 0);
    assert_true(reads(words, MANY, 0, MANY / 2));
    assert_int_equal(forkfold_words_detach(words), FORKFOLD_E_MEMORY);
    assert_true(reads(words, MANY, MANY / 2, MANY));
    forkfold_words_close(words);
    forkfold_pool_close(pool);
}

/* ---- Timeouts ------------------------------------------------------------ */

/*
 * Different words until nobody reads any more.  There is an end to them, or what has no timeout
 * would be counted for ever.
 */
static _Noreturn void feed(int fd)
{
    enum { BLOCK_WORDS = 4096, WORDS = 6000 * BLOCK_WORDS };
    static char block[BLOCK_WORDS * (KEY_BYTES + 1) + 1];

    signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < WORDS; i += BLOCK_WORDS) {
        size_t bytes = 0;

        for (unsigned number = i; number < i + BLOCK_WORDS; number++)
            bytes += (size_t)snprintf(block + bytes, sizeof(block) - bytes, "w%09u ", number);
        for (size_t done = 0; done < bytes;) {
            ssize_t written = write(fd, block + done, bytes - done);

            if (written < 0)
                _exit(errno == EPIPE ? 0 : 1);
            done += (size_t)written;
        }
    }
    _exit(SKIPPED);
}

static void spilling_does_not_put_off_the_timeout_of_a_stream(void **state)
{
    const char *const paths[] = {"-"};
    forkfold_words *words = NULL;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid_t writer = start_child();

    if (writer == 0) {
        close(ends[0]);
        feed(ends[1]);
    }
    close(ends[1]);
    forkfold_pool *pool = open_pool_at(spill_folder, 1, ends[0]);

    assert_non_null(pool);
    forkfold_words_options options = {.paths = paths,
                                      .path_count = 1,
                                      .rule = FORKFOLD_PLAIN,
                                      .stdin_fd = ends[0],
                                      .timeout_ns = 300 * UINT64_C(1000000)};

    assert_int_equal(forkfold_count_words(pool, &options, &words, NULL), 0);
    assert_int_equal(forkfold_words_get_totals(words)->files, 0);
    assert_int_equal(forkfold_words_get_totals(words)->distinct, 0);
    assert_non_null(forkfold_words_failure(words, 0));
    assert_int_equal(forkfold_words_failure(words, 0)->reason, FORKFOLD_REASON_TIMEOUT);
    assert_null(forkfold_words_failure(words, 1));
    forkfold_words_close(words);
    forkfold_pool_close(pool);
    close(ends[0]);
    assert_int_equal(wait_for(writer), 0);
}

/* ---- Deaths while folding ------------------------------------------------ */

static int count_with_deaths(forkfold_pool *pool, int deaths, forkfold_words_options options)
{
    forkfold_words *words = NULL;
    int code;

    plan->deaths = 0;
    plan->deaths_left = deaths;
    code = count(pool, MANY, options, &words);
    if (code == 0)
        assert_true(is_right(words, MANY));
    forkfold_words_close(words);
    plan->deaths_left = 0;
    return code;
}

/* With one worker it is one item that dies again and again. */
static void callers_retries_hold_while_folding(void **state)
{
    forkfold_pool *pool = open_pool(1);

    (void)state;
    assert_int_equal(
        count_with_deaths(pool, 1000,
                          (forkfold_words_options){.retries_plus_one = 1, .max_deaths = 1000}),
        FORKFOLD_E_SYSTEM);
    assert_message_has(pool, "workers died while folding, of signal 9");
    assert_int_equal(plan->deaths, 1);
    assert_int_equal(
        count_with_deaths(pool, 12,
                          (forkfold_words_options){.retries_plus_one = 13, .max_deaths = 1000}),
        0);
    assert_int_equal(plan->deaths, 12);
    forkfold_pool_close(pool);
}

static void callers_limit_of_deaths_holds_while_folding(void **state)
{
    forkfold_pool *pool = open_pool(1);

    (void)state;
    assert_int_equal(
        count_with_deaths(pool, 1000,
                          (forkfold_words_options){.retries_plus_one = 1000, .max_deaths = 1}),
        FORKFOLD_E_CRASH_LOOP);
    assert_message_has(pool, "2 workers in a row died");
    assert_int_equal(plan->deaths, 2);
    assert_true(counts(pool, MANY));
    forkfold_pool_close(pool);
}

/* ---- Privileges ---------------------------------------------------------- */

static int count_in_new_pool(void)
{
    forkfold_pool *pool = open_pool_at(spill_folder, 2, -1);
    bool right = pool != NULL && counts(pool, MANY);

    forkfold_pool_close(pool);
    return right ? 0 : 1;
}

/* /proc/self/fd is another user's then. */
static int count_without_being_dumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 0) == 0 ? count_in_new_pool() : 2;
}

static int count_as_nobody(void)
{
    return setgid(NOBODY) == 0 && setuid(NOBODY) == 0 ? count_in_new_pool() : SKIPPED;
}

static int become_nobody_with_an_open_pool(void)
{
    forkfold_pool *pool = open_pool_at(spill_folder, 2, -1);
    bool right;

    if (pool == NULL || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
        return pool == NULL ? 2 : SKIPPED;
    right = counts(pool, MANY);
    forkfold_pool_close(pool);
    return right ? 0 : 1;
}

static void run_in_child(int (*test)(void))
{
    pid_t child = start_child();

    if (child == 0)
        _exit(test());
    int result = wait_for(child);

    if (result == SKIPPED)
        skip();
    assert_int_equal(result, 0);
}

static void process_that_cannot_look_at_itself_spills(void **state)
{
    (void)state;
    run_in_child(count_without_being_dumpable);
}

static void process_that_gave_up_its_privileges_spills(void **state)
{
    (void)state;
    run_in_child(count_as_nobody);
}

static void pool_spills_when_its_process_gives_up_privileges(void **state)
{
    (void)state;
    run_in_child(become_nobody_with_an_open_pool);
}

/* ---- A supervisor that dies ---------------------------------------------- */

static pid_t supervisor;

/* Returns when it is dead; its remains are left to the pool. */
static void kill_supervisor(void)
{
    siginfo_t info;

    kill(supervisor, SIGKILL);
    while (waitid(P_PID, (id_t)supervisor, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR)
        continue;
}

/* A pool whose supervisor, this process's newest child, is known. */
static forkfold_pool *open_pool_to_disturb(void)
{
    forkfold_pool *pool = open_pool(2);
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "r");

    supervisor = 0;
    while (file != NULL && fscanf(file, "%d", &supervisor) == 1)
        continue;
    if (file != NULL)
        fclose(file);
    if (supervisor != 0)
        return pool;
    forkfold_pool_close(pool);
    skip(); /* a kernel that does not tell */
    return NULL;
}

static void assert_supervisor_is_missed(forkfold_pool *pool)
{
    forkfold_words *words = NULL;

    assert_message_has(pool, "supervisor");
    assert_int_equal(count(pool, FEW, (forkfold_words_options){0}, &words), FORKFOLD_E_SUPERVISOR);
    forkfold_pool_close(pool);
}

static void supervisor_lost_when_it_is_first_asked_is_called_that(void **state)
{
    forkfold_pool *pool = open_pool_to_disturb();
    forkfold_words *words = NULL;

    (void)state;
    before_ask = kill_supervisor;
    assert_int_equal(count(pool, MANY, (forkfold_words_options){0}, &words), FORKFOLD_E_SUPERVISOR);
    assert_supervisor_is_missed(pool);
}

static void supervisor_lost_between_count_and_fold_is_called_that(void **state)
{
    forkfold_pool *pool = open_pool_to_disturb();
    forkfold_words *words = NULL;

    (void)state;
    before_read = kill_supervisor;
    assert_int_equal(count(pool, MANY, (forkfold_words_options){0}, &words), FORKFOLD_E_SUPERVISOR);
    assert_supervisor_is_missed(pool);
}

/* What is open stays readable to its end; to begin again its files would be asked for. */
static void supervisor_lost_behind_an_open_result_is_missed_at_rewind(void **state)
{
    forkfold_pool *pool = open_pool_to_disturb();
    forkfold_words *words = NULL;
    forkfold_word word;

    (void)state;
    assert_int_equal(count(pool, MANY, (forkfold_words_options){0}, &words), 0);
    kill_supervisor();
    assert_true(is_right(words, MANY));
    for (int i = 0; i < 2; i++) {
        forkfold_words_rewind(words);
        assert_int_equal(forkfold_words_next(words, &word), FORKFOLD_E_SUPERVISOR);
        assert_message_has(pool, "supervisor");
    }
    forkfold_words_close(words);
    assert_supervisor_is_missed(pool);
}

/* ---- Long words ---------------------------------------------------------- */

/* Words of a, b and c, of so many bytes and of one more; those of c once, the others twice. */
static void make_long_words(size_t bytes)
{
    char *word = malloc(bytes);

    assert_non_null(word);
    for (unsigned number = 0; number < 2; number++) {
        FILE *file = create("long", number);

        for (int letter = 'a'; letter <= (number == 0 ? 'c' : 'b'); letter++) {
            memset(word, letter, bytes);
            assert_int_equal(fwrite(word, 1, bytes, file), bytes);
            fputc(' ', file);
            assert_int_equal(fwrite(word, 1, bytes, file), bytes);
            fprintf(file, "%c ", letter);
        }
        assert_int_equal(fclose(file), 0);
    }
    free(word);
}

static bool reads_long_word(forkfold_words *words, char letter, size_t bytes)
{
    forkfold_word word;

    return forkfold_words_next(words, &word) == 1 && word.count == (letter == 'c' ? 1 : 2) &&
           word.key_bytes == bytes && word.key[0] == letter &&
           memcmp(word.key, word.key + 1, bytes - 1) == 0;
}

static bool long_words_count(unsigned workers, size_t bytes)
{
    forkfold_pool *pool = open_pool_at(spill_folder, workers, -1);
    forkfold_words *words = NULL;
    forkfold_word none;
    char texts[2][512];
    const char *const paths[] = {path_of("long", 0, texts[0], sizeof(texts[0])),
                                 path_of("long", 1, texts[1], sizeof(texts[1]))};
    forkfold_words_options options = {.paths = paths, .path_count = 2};
    bool right = pool != NULL && forkfold_count_words(pool, &options, &words, NULL) == 0 &&
                 forkfold_words_get_totals(words)->files == 2;

    for (char letter = 'a'; letter <= 'c' && right; letter++)
        right = reads_long_word(words, letter, bytes) && reads_long_word(words, letter, bytes + 1);
    right = right && forkfold_words_next(words, &none) == 0;
    forkfold_words_close(words);
    forkfold_pool_close(pool);
    return right;
}

static void words_larger_than_all_memory_are_counted(void **state)
{
    const size_t bytes = 2 * MIB + 12345;

    (void)state;
    make_long_words(bytes);
    assert_true(long_words_count(1, bytes));
    assert_true(long_words_count(2, bytes));
}

/* The limit of addresses leaves a seal of two workers' pool less room than one of the words takes. */
static int count_words_larger_than_a_seal(void)
{
    const struct rlimit few = {.rlim_cur = 256 * MIB, .rlim_max = 256 * MIB};

    return setrlimit(RLIMIT_AS, &few) == 0 && long_words_count(2, LONG_BYTES) ? 0 : 1;
}

static void words_larger_than_a_seal_are_counted(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* their shadow memory does not fit any limit */
#endif
    make_long_words(LONG_BYTES);
    run_in_child(count_words_larger_than_a_seal);
}

/* ---- One pool after the other, one call after the other ------------------- */

static unsigned open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned number = 0;

    assert_non_null(directory);
    while (readdir(directory) != NULL)
        number++;
    closedir(directory);
    return number;
}

static void calls_with_and_without_spilling_follow_each_other(void **state)
{
    unsigned before = open_descriptors();
    forkfold_pool *pool = open_pool(2);

    (void)state;
    assert_true(counts(pool, MANY));
    unsigned between = open_descriptors();

    assert_true(counts(pool, FEW));
    assert_true(counts(pool, MANY));
    assert_true(counts(pool, MANY));
    assert_int_equal(open_descriptors(), between);
    forkfold_pool_close(pool);
    assert_int_equal(open_descriptors(), before);
}

static int cancel(int fd, void *context)
{
    (void)fd;
    (void)context;
    return 1;
}

/* It is cancelled while a worker has written one partial half and will never go on. */
static void call_after_one_that_was_cancelled_while_it_spilled_is_right(void **state)
{
    unsigned before = open_descriptors();
    int bell = eventfd(0, EFD_CLOEXEC);
    forkfold_pool *pool = open_pool_at(spill_folder, 2, bell);
    forkfold_words *words = NULL;
    uint64_t rung;

    (void)state;
    assert_non_null(pool);
    assert_int_equal(forkfold_pool_watch(pool, bell, cancel, NULL), 0);
    for (int i = 0; i < 2; i++) {
        plan->rung_by_plus = bell + 1;
        assert_int_equal(count(pool, MANY, (forkfold_words_options){0}, &words),
                         FORKFOLD_E_CANCELLED);
        plan->rung_by_plus = 0;
        assert_int_equal(read(bell, &rung, sizeof(rung)), sizeof(rung));
        assert_true(counts(pool, MANY));
        assert_true(counts(pool, FEW));
    }
    forkfold_pool_close(pool);
    close(bell);
    assert_int_equal(open_descriptors(), before);
}

static void assert_cannot_spill(forkfold_pool *pool, const char *folder, int system_error)
{
    forkfold_words *words = NULL;

    assert_int_equal(count(pool, MANY, (forkfold_words_options){0}, &words), FORKFOLD_E_SPILL);
    assert_message_has(pool, folder);
    assert_message_has(pool, strerror(system_error));
    assert_true(counts(pool, FEW));
}

static void pool_whose_folder_was_full_spills_when_there_is_room(void **state)
{
    unsigned before = open_descriptors();
    forkfold_pool *pool = open_pool(2);

    (void)state;
    plan->write_errno = ENOSPC;
    assert_cannot_spill(pool, spill_folder, ENOSPC);
    plan->write_errno = 0;
    assert_true(counts(pool, MANY));
    forkfold_pool_close(pool);
    assert_int_equal(open_descriptors(), before);
}

static void pool_whose_folder_was_missing_spills_when_it_is_there(void **state)
{
    unsigned before = open_descriptors();
    char folder[600];

    (void)state;
    snprintf(folder, sizeof(folder), "%s/later", spill_folder);
    forkfold_pool *pool = open_pool_at(folder, 2, -1);

    assert_non_null(pool);
    assert_true(counts(pool, FEW));
    assert_cannot_spill(pool, folder, ENOENT);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_true(counts(pool, MANY));
    forkfold_pool_close(pool);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(open_descriptors(), before);
}

static void files_have_no_names(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_words *words = NULL;

    (void)state;
    assert_int_equal(count(pool, MANY, (forkfold_words_options){0}, &words), 0);
    assert_true(is_right(words, MANY));
    assert_true(is_empty(spill_folder));
    forkfold_words_close(words);
    assert_true(is_empty(spill_folder));
    forkfold_pool_close(pool);
    assert_true(is_empty(spill_folder));
}

static void pools_spill_in_turn_and_at_once(void **state)
{
    forkfold_pool *one = open_pool(1);
    forkfold_pool *two = open_pool(2);
    forkfold_words *first = NULL;
    forkfold_words *second = NULL;

    (void)state;
    assert_true(counts(one, MANY));
    assert_int_equal(count(two, MANY, (forkfold_words_options){0}, &second), 0);
    assert_int_equal(count(one, MANY, (forkfold_words_options){0}, &first), 0);
    for (unsigned place = 0; place < MANY; place += MANY / 5) {
        assert_true(reads(first, MANY, place, place + MANY / 5));
        assert_true(reads(second, MANY, place, place + MANY / 5));
    }
    forkfold_words_close(first);
    forkfold_pool_close(one);
    forkfold_words_rewind(second);
    assert_true(is_right(second, MANY));
    forkfold_words_close(second);
    assert_true(counts(two, MANY));
    forkfold_pool_close(two);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, begin_test, end_test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(child_that_closes_a_result_in_memory_leaves_it_to_its_parent),
        WITH_FOLDER(child_that_closes_a_result_on_disk_leaves_it_to_its_parent),
        WITH_FOLDER(detached_result_outlives_its_pool),
        WITH_FOLDER(detached_result_may_be_empty),
        WITH_FOLDER(result_on_disk_stays_what_it_is_when_it_cannot_be_detached),
        WITH_FOLDER(spilling_does_not_put_off_the_timeout_of_a_stream),
        WITH_FOLDER(callers_retries_hold_while_folding),
        WITH_FOLDER(callers_limit_of_deaths_holds_while_folding),
        WITH_FOLDER(process_that_cannot_look_at_itself_spills),
        WITH_FOLDER(process_that_gave_up_its_privileges_spills),
        WITH_FOLDER(pool_spills_when_its_process_gives_up_privileges),
        WITH_FOLDER(supervisor_lost_when_it_is_first_asked_is_called_that),
        WITH_FOLDER(supervisor_lost_between_count_and_fold_is_called_that),
        WITH_FOLDER(supervisor_lost_behind_an_open_result_is_missed_at_rewind),
        WITH_FOLDER(words_larger_than_all_memory_are_counted),
        WITH_FOLDER(words_larger_than_a_seal_are_counted),
        WITH_FOLDER(calls_with_and_without_spilling_follow_each_other),
        WITH_FOLDER(call_after_one_that_was_cancelled_while_it_spilled_is_right),
        WITH_FOLDER(pool_whose_folder_was_full_spills_when_there_is_room),
        WITH_FOLDER(pool_whose_folder_was_missing_spills_when_it_is_there),
        WITH_FOLDER(files_have_no_names),
        WITH_FOLDER(pools_spill_in_turn_and_at_once),
    };

    return cmocka_run_group_tests(tests, make_base, remove_base);
}
