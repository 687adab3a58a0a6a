/* SPDX-License-Identifier: Apache-2.0 */
/* Queues whose producers, consumers, supervisor or driver die. */
#include "queue_script.h"

#include "kills.h"
#include "platform/kill_point.h"
#include "pool/call.h"
#include "random_keys.h"

/* ---- Deaths between the steps -------------------------------------------- */

/* Takes a batch and dies, as often as is planned. */
static int take_and_suffer(const struct part *part, const forkfold_item *item)
{
    forkfold_batch batch;
    int code = forkfold_queue_get(part->in, part->most, &batch, FOR_EVER);

    if (code != 1)
        return FORKFOLD_E_DAMAGED;
    if (part->most > 0)
        code = forkfold_queue_acknowledge(part->in);
    return code < 0 ? code : suffer(item);
}

static void batch_of_a_worker_that_dies_comes_back_and_is_counted(void **state)
{
    static const uint64_t values[3] = {5, 6, 7};
    forkfold_pool *pool = open_pool_with(&(forkfold_pool_options){.workers = 1});

    (void)state;
    for (uint64_t most = 0; most < 2; most++)
        for (int deaths = 1; deaths < 3; deaths++) {
            forkfold_queue *queue = open_queue(pool, 3, 1, 1);
            struct cast cast = {.count = 1,
                                .parts = {{.play = take_and_suffer, .in = queue, .most = most}}};
            forkfold_batch batch;

            reset_tally(NULL);
            plan(KILL, 0, deaths);
            assert_works(pool, forkfold_queue_put(queue, values, 3, 0));
            assert_works(pool, forkfold_queue_end(queue, 0));
            end_play(pool, begin_play(pool, &cast));
            /* With the last one that got it, and acknowledged nothing or a part. */
            if (most == 0 || deaths < 2) {
                assert_int_equal(forkfold_queue_get(queue, 0, &batch, FOR_EVER), 1);
                assert_int_equal(batch.returns, deaths + 1);
                assert_int_equal(batch.count, most == 0 ? 3 : 3 - (deaths + 1));
            }
            assert_int_equal(forkfold_queue_get(queue, 0, &batch, FOR_EVER), 0);
            forkfold_queue_close(queue);
        }
    forkfold_pool_close(pool);
}

static int kill_supervisor(const struct part *part, const forkfold_item *item)
{
    (void)item;
    if (part->number == 1)
        raise(SIGKILL);
    kill(getppid(), SIGKILL);
    return consume_from(part->in, 0);
}

static void host_that_waits_hears_what_ended_the_calls(void **state)
{
    static const int codes[] = {FORKFOLD_E_SUPERVISOR, FORKFOLD_E_CRASH_LOOP};

    (void)state;
    for (unsigned loops = 0; loops < 2; loops++)
        for (unsigned puts = 0; puts < 2; puts++) {
            forkfold_pool *pool = open_pool(1);
            forkfold_queue *queue = open_queue(pool, 1, 1, 1);
            forkfold_queue *never = open_queue(pool, 1, 1, 1);
            struct cast cast = {.count = 1,
                                .parts = {{.play = kill_supervisor, .in = never, .number = loops}}};
            forkfold_call *call;
            forkfold_batch batch;
            uint64_t value = 1;

            assert_works(pool, forkfold_queue_put(queue, &value, 1, 0));
            call = begin_play(pool, &cast);
            if (puts)
                assert_int_equal(forkfold_queue_put(queue, &value, 1, FOR_EVER), codes[loops]);
            else
                assert_int_equal(forkfold_queue_get(never, 0, &batch, FOR_EVER), codes[loops]);
            assert_int_not_equal(strlen(forkfold_pool_message(pool)), 0);
            assert_int_equal(forkfold_call_wait(call, FOR_EVER), codes[loops]);
            /* And the queue does no harm. */
            assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0),
                             loops ? 1 : FORKFOLD_E_SUPERVISOR);
            forkfold_call_close(call);
            forkfold_queue_close(queue);
            forkfold_queue_close(never);
            if (loops)
                assert_pool_is_well(pool);
            forkfold_pool_close(pool);
        }
}

/* ---- A chain ------------------------------------------------------------- */

/* From the host to workers, to other workers, and back to the host, which does not die. */
struct chain {
    forkfold_queue *queues[3];
    struct cast cast;
    unsigned kills_one_in; /* batches; 0 = never */
};

/* By what has come out, not by time: on a busy machine workers would not live to do anything. */
static void kill_now_and_then(const struct chain *chain)
{
    pid_t workers[4];
    unsigned count;

    if (chain->kills_one_in == 0 || random_below(chain->kills_one_in) > 0)
        return;
    count = children_of(supervisor_of_only_pool(), workers, 4);
    if (count > 0)
        kill(workers[random_below(count)], SIGKILL);
}

static void open_chain(forkfold_pool *pool, struct chain *chain, uint64_t batch, uint64_t depth)
{
    *chain = (struct chain){.cast.count = 4};
    for (unsigned i = 0; i < 3; i++)
        chain->queues[i] = open_queue(pool, batch, depth, i > 0 ? 2 : 1);
    for (unsigned i = 0; i < 4; i++)
        chain->cast.parts[i] = (struct part){.play = relay,
                                             .in = chain->queues[i / 2],
                                             .out = chain->queues[i / 2 + 1],
                                             .number = i % 2};
}

static void close_chain(struct chain *chain)
{
    for (unsigned i = 0; i < 3; i++)
        forkfold_queue_close(chain->queues[i]);
}

/* Puts count values in at one end, and takes all out at the other. */
static void feed_chain(forkfold_pool *pool, struct chain *chain, uint64_t count, uint64_t most)
{
    forkfold_batch batch;
    uint64_t put = 0;
    int code;

    do {
        for (code = 0; put < count && code == 0;) {
            uint64_t value = value_of(0, put);

            code = forkfold_queue_put(chain->queues[0], &value, 1, 0);
            put += code == 0;
        }
        if (code == 0)
            assert_works(pool, forkfold_queue_end(chain->queues[0], 0));
        else
            assert_int_equal(code, FORKFOLD_E_PENDING);
        code = forkfold_queue_get(chain->queues[2], most, &batch,
                                  put < count ? FF_NS_PER_MS / 4 : FOR_EVER);
        if (code == 1) {
            assert_true(count_values(&batch));
            kill_now_and_then(chain);
        } else if (code != FORKFOLD_E_PENDING) {
            assert_works(pool, code);
        }
    } while (code != 0);
    assert_tally(1, count);
}

static void random_kills_in_a_chain_lose_nothing_and_double_nothing(void **state)
{
    enum { ROUNDS = SANITIZED ? 10 : 60 };

    (void)state;
    seed_random();
    for (unsigned round = 0; round < ROUNDS; round++) {
        /* More workers than parts, or those who wait for the others would keep them from working. */
        forkfold_pool *pool =
            open_pool_with(&(forkfold_pool_options){.workers = 4, .max_deaths = 1000000});
        forkfold_call *call;
        struct chain chain;

        reset_tally(NULL);
        open_chain(pool, &chain, 1, 1 + random_below(20));
        chain.kills_one_in = 400;
        call = begin_play(pool, &chain.cast);
        feed_chain(pool, &chain, 1000 + random_below(SANITIZED ? 1000 : 20000), 0);
        end_play(pool, call);
        close_chain(&chain);
        forkfold_pool_close(pool);
    }
}

/* ---- Deaths at every step ------------------------------------------------ */

#ifdef FF_KILL_POINTS

/* In this process, the host, the points are passed and nothing happens. */
static void spare_host(void)
{
    ff_kill_points_open();
}

static uint64_t deaths_of(const forkfold_pool *pool)
{
    return ff_peer_get(&pool->layout.supervisor->deaths);
}

/* Whether a run comes to the point depends on who sleeps when. */
static bool is_sure(const char *point)
{
    return strncmp(point, "queue.", 6) != 0;
}

struct death {
    const char *point;
    const char *how;
    unsigned at;
};

/* Each point of a list with each way to die, at some times of passing. */
static void for_each_death(const char *const *points, void (*run)(const struct death *death))
{
    static const char *const hows[] = {"kill", "segv", "exit"};
    static const unsigned times[] = {1, 2, 7};

    for (; *points != NULL; points++)
        for (unsigned h = 0; h < 3; h++)
            for (unsigned t = 0; t < 3; t++) {
                reset_tally(NULL);
                run(&(struct death){.point = *points, .how = hows[h], .at = times[t]});
            }
}

static forkfold_pool *open_mortal_pool(const struct death *death, unsigned workers)
{
    forkfold_pool *pool = open_pool_that_dies(death->point, death->how, death->at,
                                              &(forkfold_pool_options){.workers = workers});

    spare_host();
    return pool;
}

static void die_in_a_chain(const struct death *death)
{
    forkfold_pool *pool = open_mortal_pool(death, 4);
    struct chain chain;
    forkfold_call *call;

    open_chain(pool, &chain, 1, 2);
    call = begin_play(pool, &chain.cast);
    feed_chain(pool, &chain, 40, 0);
    assert_works(pool, forkfold_call_wait(call, FOR_EVER));
    if (is_sure(death->point) && death->at == 1)
        assert_int_equal(deaths_of(pool), 1);
    end_play(pool, call);
    close_chain(&chain);
    forkfold_pool_close(pool);
}

static void death_at_any_step_of_a_chain_changes_nothing(void **state)
{
    static const char *const points[] = {"ring.claim.taken",
                                         "ring.claim.done",
                                         "ring.commit.written",
                                         "ring.commit.done",
                                         "ring.take.tried",
                                         "ring.take.done",
                                         "ring.pass.noted",
                                         "ring.pass.counted",
                                         "ring.acknowledge.begin",
                                         "ring.acknowledge.counted",
                                         "ring.acknowledge.done",
                                         "ring.end.begin",
                                         "ring.end.done",
                                         "queue.sleep",
                                         "queue.wake",
                                         "worker.item.begin",
                                         "worker.items.written",
                                         NULL};

    (void)state;
    for_each_death(points, die_in_a_chain);
}

/* Batches of three to the host: what a producer had put before it died is put again. */
static void die_as_producer(const struct death *death)
{
    enum { COUNT = 30 };
    forkfold_pool *pool = open_mortal_pool(death, 1);
    forkfold_queue *queue = open_queue(pool, 3, 2, 1);
    struct cast cast = {.count = 1,
                        .parts = {{.play = produce, .out = queue, .count = COUNT, .batch = 3}}};
    forkfold_call *call = begin_play(pool, &cast);
    uint64_t doubled = 0;

    assert_works(pool, consume_from(queue, 0));
    assert_works(pool, forkfold_call_wait(call, FOR_EVER));
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_in_range(tally->outs[0][i], 1, 1 + deaths_of(pool));
        /* All before it, for it did not take any of them back. */
        assert_true(i == 0 || tally->outs[0][i] <= tally->outs[0][i - 1]);
        doubled += tally->outs[0][i] - 1u;
    }
    if (strcmp(death->point, "ring.commit.done") == 0)
        assert_int_equal(doubled, 3 * death->at);
    if (strcmp(death->point, "ring.commit.written") == 0)
        assert_int_equal(doubled, 3 * (death->at - 1));
    end_play(pool, call);
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
}

static void batch_of_a_producer_that_dies_is_there_wholly_or_not(void **state)
{
    static const char *const points[] = {"ring.claim.taken", "ring.claim.done",
                                         "ring.commit.written", "ring.commit.done", NULL};

    (void)state;
    for_each_death(points, die_as_producer);
}

static void producer_that_dies_at_its_end_has_said_it_or_says_it_again(void **state)
{
    static const char *const points[] = {"ring.end.begin", "ring.end.done"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        forkfold_pool *pool =
            open_mortal_pool(&(struct death){.point = points[i], .how = "kill", .at = 1}, 2);
        forkfold_queue *queue = open_queue(pool, 1, 2, 1);
        struct cast cast = {.count = 2,
                            .parts = {{.play = produce, .out = queue, .count = 0, .batch = 1},
                                      {.play = consume, .in = queue}}};

        end_play(pool, begin_play(pool, &cast));
        forkfold_queue_close(queue);
        forkfold_pool_close(pool);
    }
}

/* Gives each batch back once, and then counts it. */
static int hesitate(const struct part *part, const forkfold_item *item)
{
    forkfold_batch batch;
    int code;

    (void)item;
    while ((code = forkfold_queue_get(part->in, part->most, &batch, FOR_EVER)) == 1) {
        if (batch.returns == 0) {
            code = forkfold_queue_give_back(part->in);
            if (code < 0)
                return code;
        } else if (!count_values(&batch)) {
            return FORKFOLD_E_DAMAGED;
        }
    }
    return code;
}

static void die_as_consumer(const struct death *death)
{
    enum { COUNT = 40 };
    forkfold_pool *pool = open_mortal_pool(death, 2);
    forkfold_queue *queue = open_queue(pool, 4, 2, 1);
    struct cast cast = {.count = 2};
    forkfold_call *call;
    uint64_t doubled = 0;

    for (unsigned i = 0; i < 2; i++)
        cast.parts[i] = (struct part){.play = hesitate, .in = queue, .most = 2 * i};
    call = begin_play(pool, &cast);
    assert_works(pool, produce_to(queue, 0, COUNT, 4));
    assert_works(pool, forkfold_call_wait(call, FOR_EVER));
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_true(tally->outs[0][i] >= 1);
        doubled += tally->outs[0][i] - 1u;
    }
    /* What it had counted and not acknowledged yet is counted again by the next one. */
    assert_in_range(doubled, 0, 4 * deaths_of(pool));
    end_play(pool, call);
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
}

static void batch_of_a_consumer_that_dies_comes_to_another_one(void **state)
{
    static const char *const points[] = {"ring.take.tried",
                                         "ring.take.done",
                                         "ring.return.begin",
                                         "ring.return.done",
                                         "ring.acknowledge.begin",
                                         "ring.acknowledge.counted",
                                         "ring.acknowledge.done",
                                         "queue.sleep",
                                         "queue.wake",
                                         NULL};

    (void)state;
    for_each_death(points, die_as_consumer);
}

/* ---- Supervisor and driver ----------------------------------------------- */

static void supervisor_that_dies_over_a_dead_workers_batch_ends_the_wait(void **state)
{
    static const char *const points[] = {"supervisor.ring.settled", "supervisor.queues.recovered"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        forkfold_pool *pool =
            open_mortal_pool(&(struct death){.point = points[i], .how = "kill", .at = 1}, 2);
        forkfold_queue *queue = open_queue(pool, 1, 1, 1);
        struct cast cast = {.count = 1, .parts = {{.play = take_and_suffer, .in = queue}}};
        uint64_t value = 1;
        forkfold_call *call;

        reset_tally(NULL);
        plan(KILL, 0, 1);
        assert_works(pool, forkfold_queue_put(queue, &value, 1, 0));
        call = begin_play(pool, &cast);
        assert_int_equal(forkfold_queue_put(queue, &value, 1, FOR_EVER), FORKFOLD_E_SUPERVISOR);
        assert_int_equal(forkfold_call_wait(call, FOR_EVER), FORKFOLD_E_SUPERVISOR);
        forkfold_call_close(call);
        forkfold_queue_close(queue);
        forkfold_pool_close(pool);
    }
}

/* A host that does all that one can do with queues, while its workers wait in one. */
static int use_everything(forkfold_pool *pool)
{
    forkfold_queue *queues[2];
    forkfold_queue *never = open_queue(pool, 1, 1, 1);
    struct cast cast = {.count = 2,
                        .parts = {{.play = consume, .in = never}, {.play = consume, .in = never}}};
    uint64_t values[2] = {1, 2};
    forkfold_batch batch;

    begin_play(pool, &cast);
    for (unsigned i = 0; i < 2; i++)
        queues[i] = open_queue(pool, 2, 2, 1);
    if (forkfold_queue_put(queues[0], values, 2, 0) != 0 ||
        forkfold_queue_get(queues[0], 1, &batch, 0) != 1 ||
        forkfold_queue_give_back(queues[0]) != 0 ||
        forkfold_queue_get(queues[0], 1, &batch, 0) != 1 ||
        forkfold_queue_acknowledge(queues[0]) != 0 ||
        forkfold_queue_get(queues[0], 1, &batch, 0) != 1 ||
        forkfold_queue_pass_on(queues[0], queues[1], values, 1, 0) != 0 ||
        forkfold_queue_end(queues[1], 0) != 0)
        return 1;
    return forkfold_queue_end(never, 0) == 0 ? 2 : 1;
}

static void driver_that_dies_leaves_no_process_behind(void **state)
{
    static const char *const points[] = {
        "ring.claim.taken",         "ring.claim.done",       "ring.commit.written",
        "ring.commit.done",         "ring.take.tried",       "ring.take.done",
        "ring.pass.noted",          "ring.pass.counted",     "ring.acknowledge.begin",
        "ring.acknowledge.counted", "ring.acknowledge.done", "ring.return.begin",
        "ring.return.done",         "ring.end.begin",        "ring.end.done"};

    (void)state;
    /* What outlives its parents becomes a child of this process. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (unsigned i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        pid_t driver = fork();
        int status;

        if (driver == 0)
            _exit(use_everything(
                open_pool_that_dies(points[i], "kill", 1, &(forkfold_pool_options){.workers = 2})));
        assert_int_equal(waitpid(driver, &status, 0), driver);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        /* Nobody else does: this waits for all that there are, and says when there are none. */
        while (waitpid(-1, NULL, 0) > 0)
            ;
        assert_int_equal(errno, ECHILD);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

/* ---- A producer that is late for the end ---------------------------------- */

static char state_of_process(pid_t pid)
{
    char path[64];
    char state = '?';

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");

    if (file == NULL)
        return state;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = '?';
    fclose(file);
    return state;
}

/* The worker that is in this state, once there is one. */
static pid_t await_worker_in(pid_t supervisor, char wanted)
{
    for (;;) {
        pid_t workers[2];
        unsigned count = children_of(supervisor, workers, 2);

        for (unsigned i = 0; i < count; i++)
            if (state_of_process(workers[i]) == wanted)
                return workers[i];
        sched_yield();
    }
}

static int put_too_late(const struct part *part, const forkfold_item *item)
{
    uint64_t value = 1;

    (void)item;
    return forkfold_queue_put(part->out, &value, 1, FOR_EVER) == FORKFOLD_E_ENDED
               ? 0
               : FORKFOLD_E_DAMAGED;
}

/* It has a cell when the queue ends, and a consumer falls asleep over that. */
static void producer_that_is_late_for_the_end_keeps_nobody_waiting(void **state)
{
    forkfold_pool *pool =
        open_mortal_pool(&(struct death){.point = "ring.claim.taken", .how = "stop", .at = 1}, 2);
    forkfold_queue *queue = open_queue(pool, 1, 2, 1);
    struct cast cast = {
        .count = 2,
        .parts = {{.play = put_too_late, .out = queue}, {.play = consume, .in = queue}}};
    forkfold_call *call = begin_play(pool, &cast);
    pid_t supervisor = supervisor_of_only_pool();
    pid_t late = await_worker_in(supervisor, 'T');

    (void)state;
    assert_works(pool, forkfold_queue_end(queue, 0));
    while ((ff_recheck(&queue->ring->words->takers_sleep) & FF_RING_WORKERS) == 0)
        sched_yield();
    await_worker_in(supervisor, 'S');
    kill(late, SIGCONT);
    end_play(pool, call);
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TALLY(batch_of_a_worker_that_dies_comes_back_and_is_counted),
        WITH_TALLY(host_that_waits_hears_what_ended_the_calls),
        WITH_TALLY(random_kills_in_a_chain_lose_nothing_and_double_nothing),
#ifdef FF_KILL_POINTS
        WITH_TALLY(death_at_any_step_of_a_chain_changes_nothing),
        WITH_TALLY(batch_of_a_producer_that_dies_is_there_wholly_or_not),
        WITH_TALLY(producer_that_dies_at_its_end_has_said_it_or_says_it_again),
        WITH_TALLY(batch_of_a_consumer_that_dies_comes_to_another_one),
        WITH_TALLY(supervisor_that_dies_over_a_dead_workers_batch_ends_the_wait),
        WITH_TALLY(driver_that_dies_leaves_no_process_behind),
        WITH_TALLY(producer_that_is_late_for_the_end_keeps_nobody_waiting),
#endif
    };

    return cmocka_run_group_tests(tests, make_tally, NULL);
}
