/* SPDX-License-Identifier: Apache-2.0 */
/* Shared dictionaries: their memory alone, by several threads, and in workers that die. */
#include "item_script.h"

#include <limits.h>
#include <pthread.h>
#include <sys/prctl.h>

#include <forkfold/dictionary.h>
#include <forkfold/error.h>

#include "memory/dictionary.h"
#include "random_keys.h"

/* ---- The memory ---------------------------------------------------------- */

static struct ff_dictionary make(uint64_t capacity, uint64_t key_bytes)
{
    struct ff_dictionary made = {.slot_count = ff_dictionary_slots(capacity),
                                 .capacity = capacity,
                                 .heap_bytes = ff_dictionary_heap_bytes(capacity, key_bytes)};

    made.words = aligned_alloc(64, sizeof(*made.words));
    made.slots = calloc(made.slot_count, sizeof(*made.slots));
    made.heap = malloc(made.heap_bytes);
    assert_non_null(made.words);
    assert_non_null(made.slots);
    assert_non_null(made.heap);
    memset(made.words, 0, sizeof(*made.words));
    return made;
}

static void unmake(struct ff_dictionary *made)
{
    free(made->words);
    free(made->slots);
    free(made->heap);
}

/* The bytes of a key depend on its number; so many that no two are alike, and none is first. */
static uint32_t make_key(uint64_t number, char key[64])
{
    uint32_t bytes = (uint32_t)(mix(number) % 50);

    memset(key, (int)(number % 3), 64);
    memcpy(key + bytes, &number, sizeof(number));
    return number == 0 ? 0 : bytes + (uint32_t)sizeof(number);
}

static enum ff_dictionary_answer add_number(const struct ff_dictionary *to, uint64_t number,
                                            int64_t amount)
{
    char key[64];
    uint32_t bytes = make_key(number, key);

    return ff_dictionary_add(to, key, bytes, amount);
}

/* The counter of a key, or -1. */
static int64_t value_of(const struct ff_dictionary *of, uint64_t number)
{
    char key[64];
    uint32_t bytes = make_key(number, key);
    int64_t value = -1;
    enum ff_dictionary_answer answer = ff_dictionary_get(of, key, bytes, &value);

    assert_true(answer == FF_DICTIONARY_OK || answer == FF_DICTIONARY_NONE);
    return value;
}

static uint64_t count_slots(const struct ff_dictionary *of)
{
    struct ff_dictionary_entry entry;
    uint64_t count = 0;

    for (uint64_t i = 0; i < of->slot_count; i++)
        count += ff_dictionary_at(of, i, &entry) == FF_DICTIONARY_OK;
    return count;
}

static void keys_of_any_bytes_count_apart(void **state)
{
    enum { KEYS = 5000 };
    struct ff_dictionary made = make(KEYS, KEYS * 58);

    (void)state;
    assert_int_equal(value_of(&made, 0), -1);
    for (int round = 1; round <= 3; round++)
        for (uint64_t number = 0; number < KEYS; number++) {
            assert_int_equal(add_number(&made, number, (int64_t)number - 100), FF_DICTIONARY_OK);
            assert_int_equal(value_of(&made, number), round * ((int64_t)number - 100));
        }
    assert_int_equal(count_slots(&made), KEYS);
    assert_int_equal(value_of(&made, KEYS), -1);
    unmake(&made);
}

/* As many as were asked for always find room; then those that are there go on. */
static void full_dictionary_refuses_new_keys_only(void **state)
{
    (void)state;
    for (uint64_t capacity = 1; capacity < 5000; capacity = capacity * 3 + 1) {
        struct ff_dictionary made = make(capacity, capacity * 58);

        for (uint64_t number = 0; number < capacity; number++)
            assert_int_equal(add_number(&made, number, 1), FF_DICTIONARY_OK);
        for (uint64_t number = 0; number < 2 * capacity; number++)
            assert_int_equal(add_number(&made, number, 1),
                             number < capacity ? FF_DICTIONARY_OK : FF_DICTIONARY_FULL);
        assert_int_equal(count_slots(&made), capacity);
        unmake(&made);
    }
}

static void full_heap_refuses_what_does_not_fit(void **state)
{
    struct ff_dictionary made = make(1000, 0);
    char *large = calloc(1, made.heap_bytes);
    uint64_t number = 0;

    (void)state;
    assert_non_null(large);
    assert_int_equal(ff_dictionary_add(&made, large, (uint32_t)made.heap_bytes, 1),
                     FF_DICTIONARY_FULL);
    while (add_number(&made, number, 1) == FF_DICTIONARY_OK)
        number++;
    assert_in_range(number, made.heap_bytes / 80, 999);
    /* A shorter one may still fit; what does not fit has taken nothing from it. */
    assert_in_range(ff_peer_get(&made.words->heap_used), made.heap_bytes - 72, made.heap_bytes);
    assert_int_equal(add_number(&made, 0, 1), FF_DICTIONARY_OK);
    free(large);
    unmake(&made);
}

static void sums_beyond_64_bits_say_so(void **state)
{
    struct ff_dictionary made = make(10, 100);

    (void)state;
    assert_int_equal(add_number(&made, 1, INT64_MAX), FF_DICTIONARY_OK);
    assert_int_equal(add_number(&made, 1, 1), FF_DICTIONARY_WRAPPED);
    assert_int_equal(value_of(&made, 1), INT64_MIN);
    assert_int_equal(add_number(&made, 1, -1), FF_DICTIONARY_WRAPPED);
    assert_int_equal(value_of(&made, 1), INT64_MAX);
    assert_int_equal(add_number(&made, 1, INT64_MIN), FF_DICTIONARY_OK);
    assert_int_equal(value_of(&made, 1), -1);
    unmake(&made);
}

static void sizes_beyond_all_memory_are_refused(void **state)
{
    (void)state;
    assert_int_equal(ff_dictionary_slots(UINT64_MAX), 0);
    assert_int_equal(ff_dictionary_heap_bytes(1, UINT64_MAX), 0);
    assert_int_equal(ff_dictionary_heap_bytes(UINT64_MAX, 1), 0);
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t heap = ff_dictionary_heap_bytes(UINT64_C(1) << bit, UINT64_C(1) << bit);

        assert_true(heap == 0 || (heap > UINT64_C(1) << bit && heap / 8 < UINT64_C(1) << 40));
    }
}

/* Whatever is written over it, nobody reads or writes outside of it, or searches for ever. */
static void damage_is_found_out(void **state)
{
    enum { KEYS = 100, ROUNDS = 2000 };
    uint64_t seed = random_u64();

    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct ff_dictionary made = make(KEYS, KEYS * 58);
        uint64_t dice = mix(seed + round);
        struct ff_dictionary_entry entry;

        for (uint64_t number = 0; number < KEYS / 2; number++)
            add_number(&made, number, 1);
        if (dice % 4 == 0)
            ff_own_set(&made.words->heap_used, mix(dice) >> dice % 61);
        for (uint64_t i = 0; dice % 4 == 1 && i < made.slot_count; i++)
            ff_own_set(&made.slots[i].key, mix(dice + i) >> dice % 61);
        for (uint64_t i = 0; dice % 4 == 2 && i < made.slot_count; i++)
            if (ff_peer_get(&made.slots[i].key) != 0)
                ff_own_set(&made.slots[i].key,
                           ff_peer_get(&made.slots[i].key) ^ mix(dice + i) >> 30);
        if (dice % 4 == 3)
            memset(made.heap, (int)(dice >> 8), made.heap_bytes);
        for (uint64_t number = 0; number < 2 * KEYS; number++) {
            char key[64];
            uint32_t bytes = make_key(number, key);
            int64_t value;

            add_number(&made, number, 1);
            ff_dictionary_get(&made, key, bytes, &value);
        }
        for (uint64_t i = 0; i < made.slot_count; i++)
            if (ff_dictionary_at(&made, i, &entry) == FF_DICTIONARY_OK)
                assert_true((const char *)entry.key + entry.bytes <= made.heap + made.heap_bytes);
        unmake(&made);
    }
}

/* ---- Several at once ----------------------------------------------------- */

enum { THREADS = 4, SHARED_KEYS = 300, TURNS = 200 };

struct adder {
    const struct ff_dictionary *to;
    pthread_barrier_t *together;
    uint64_t seed;
};

/* All of them add to all keys, each in its own order; and look at what they know to be there. */
static void *add_to_all(void *pointer)
{
    const struct adder *adder = pointer;

    pthread_barrier_wait(adder->together);
    for (uint64_t turn = 0; turn < TURNS; turn++) {
        uint64_t stride = 1 + 2 * (mix(adder->seed + turn) % 100);

        /* An odd number that has no factor in common with the keys visits each of them once. */
        while (stride % 3 == 0 || stride % 5 == 0)
            stride += 2;
        for (uint64_t i = 0; i < SHARED_KEYS; i++) {
            uint64_t number = i * stride % SHARED_KEYS;

            if (add_number(adder->to, number, 1) != FF_DICTIONARY_OK ||
                value_of(adder->to, number) < 1 + (int64_t)turn)
                return pointer;
        }
    }
    return NULL;
}

static void threads_that_add_at_once_lose_nothing(void **state)
{
    enum { ROUNDS = SANITIZED ? 3 : 20 };

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        /* Who is second at a key may lose the bytes of one. */
        struct ff_dictionary made = make(SHARED_KEYS, 2 * SHARED_KEYS * 58);
        struct adder adders[THREADS];
        pthread_t threads[THREADS];
        pthread_barrier_t together;

        assert_int_equal(pthread_barrier_init(&together, NULL, THREADS), 0);
        for (unsigned i = 0; i < THREADS; i++) {
            adders[i] = (struct adder){.to = &made, .together = &together, .seed = random_u64()};
            assert_int_equal(pthread_create(&threads[i], NULL, add_to_all, &adders[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            void *failed;

            assert_int_equal(pthread_join(threads[i], &failed), 0);
            assert_null(failed);
        }
        assert_int_equal(count_slots(&made), SHARED_KEYS);
        assert_int_equal(ff_peer_get(&made.words->keys), SHARED_KEYS);
        for (uint64_t number = 0; number < SHARED_KEYS; number++)
            assert_int_equal(value_of(&made, number), THREADS * TURNS);
        pthread_barrier_destroy(&together);
        unmake(&made);
    }
}

/* ---- In workers ---------------------------------------------------------- */

static forkfold_dictionary *open_dictionary(forkfold_pool *pool, uint64_t capacity)
{
    forkfold_dictionary *dictionary = NULL;

    assert_works(
        pool, forkfold_dictionary_open(pool, &(forkfold_dictionary_options){.capacity = capacity},
                                       &dictionary));
    assert_non_null(dictionary);
    return dictionary;
}

static void bad_options_are_refused(void **state)
{
    static const forkfold_dictionary_options bad[] = {{.capacity = 0}, {.size = 1, .capacity = 1}};
    static const forkfold_dictionary_options large[] = {
        {.capacity = UINT64_C(1) << 36},
        {.capacity = UINT64_MAX},
        {.capacity = 1, .key_bytes = UINT64_MAX},
        {.capacity = UINT64_MAX / 32 + 1},
    };
    forkfold_dictionary *dictionary = NULL;
    forkfold_pool *pool = open_pool(1);

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(forkfold_dictionary_open(pool, &bad[i], &dictionary), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_dictionary_open(pool, NULL, &dictionary), FORKFOLD_E_INVALID);
    for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
        assert_int_equal(forkfold_dictionary_open(pool, &large[i], &dictionary), FORKFOLD_E_LIMIT);
    assert_non_null(strstr(forkfold_pool_message(pool), "room"));
    assert_null(dictionary);
    forkfold_dictionary_close(NULL);
    forkfold_pool_close(pool);
}

static void bad_keys_are_refused(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_dictionary *dictionary = open_dictionary(pool, 10);
    int64_t value = 7;

    (void)state;
    assert_int_equal(forkfold_dictionary_add(dictionary, NULL, 1, 1), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_dictionary_get(dictionary, NULL, 1, &value), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_dictionary_add(dictionary, "", (size_t)UINT32_MAX + 1, 1),
                     FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_dictionary_get(dictionary, "k", 1, &value), 0);
    assert_int_equal(value, 7);
    assert_works(pool, forkfold_dictionary_add(dictionary, NULL, 0, 3));
    assert_int_equal(forkfold_dictionary_get(dictionary, "", 0, &value), 1);
    assert_int_equal(value, 3);
    assert_works(pool, forkfold_dictionary_add(dictionary, "k", 1, INT64_MAX));
    assert_int_equal(forkfold_dictionary_add(dictionary, "k", 1, 1), FORKFOLD_E_RANGE);
    assert_non_null(strstr(forkfold_pool_message(pool), "wrapped"));
    forkfold_dictionary_close(dictionary);
    assert_int_equal(forkfold_dictionary_add(dictionary, "k", 1, 1), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_dictionary_next(dictionary, NULL), FORKFOLD_E_INVALID);
    forkfold_pool_close(pool);
}

enum { KEYS = 97 };

/* "key 0" to "key 96", each as often as there are items with its remainder. */
static int count_remainder(const forkfold_item *item)
{
    forkfold_dictionary *dictionary = *(forkfold_dictionary *const *)item->context;
    char key[16];
    int length = snprintf(key, sizeof(key), "key %d", (int)(item->index % KEYS));
    int code = suffer(item);

    if (code == 0)
        code = forkfold_dictionary_add(dictionary, key, (size_t)length, 1);
    return code == 0 ? 0 : forkfold_item_fail(item, "%s", forkfold_strerror(code));
}

static forkfold_call_options counting(forkfold_dictionary *const *dictionary, uint64_t count)
{
    return (forkfold_call_options){.function = count_remainder,
                                   .count = count,
                                   .chunk = 7,
                                   .context = dictionary,
                                   .context_bytes = sizeof(void *)};
}

/* Of "key 12" 12: behind a key may lie bytes of others. */
static uint64_t number_of(const forkfold_dictionary_entry *entry)
{
    uint64_t number = 0;

    for (size_t i = strlen("key "); i < entry->bytes; i++)
        number = 10 * number + (uint64_t)(((const char *)entry->key)[i] - '0');
    return number;
}

/* Every key has what its items have added, and at most again more; in all. */
static void assert_counted(forkfold_dictionary *dictionary, uint64_t count, uint64_t again)
{
    forkfold_dictionary_entry entry;
    forkfold_dictionary_entry before = {0};
    uint64_t keys;
    uint64_t read = 0;
    uint64_t total = 0;
    int code;

    forkfold_dictionary_rewind(dictionary);
    while ((code = forkfold_dictionary_next(dictionary, &entry)) == 1) {
        uint64_t number = number_of(&entry);
        uint64_t due = count / KEYS + (number < count % KEYS);

        assert_in_range(entry.value, due, due + again);
        if (read++ > 0) {
            size_t common = before.bytes < entry.bytes ? before.bytes : entry.bytes;
            int order = memcmp(before.key, entry.key, common);

            assert_true(order < 0 || (order == 0 && before.bytes < entry.bytes));
        }
        before = entry;
        total += (uint64_t)entry.value;
    }
    assert_int_equal(code, 0);
    assert_int_equal(read, count < KEYS ? count : KEYS);
    assert_int_equal(forkfold_dictionary_count(dictionary, &keys), 0);
    assert_int_equal(keys, read);
    assert_in_range(total, count, count + again);
}

static void workers_and_host_count_together(void **state)
{
    enum { COUNT = 20000 };
    forkfold_pool *pool = open_pool(2);
    forkfold_dictionary *dictionary = open_dictionary(pool, KEYS);
    forkfold_call_options options = counting(&dictionary, COUNT);
    forkfold_call *call = NULL;

    (void)state;
    for (unsigned round = 1; round <= 2; round++) {
        assert_works(pool, forkfold_map(pool, &options, &call));
        assert_int_equal(forkfold_call_failure_count(call), 0);
        assert_counted(dictionary, COUNT, 0);
        forkfold_call_close(call);
        assert_works(pool, forkfold_dictionary_add(dictionary, "key 5", 5, 10));
        forkfold_dictionary_close(dictionary);
        /* In the same memory, and empty. */
        dictionary = open_dictionary(pool, KEYS);
        assert_counted(dictionary, 0, 0);
    }
    forkfold_dictionary_close(dictionary);
    forkfold_pool_close(pool);
}

static int read_in_worker(const forkfold_item *item)
{
    forkfold_dictionary *dictionary = *(forkfold_dictionary *const *)item->context;
    forkfold_dictionary_entry entry;
    int64_t value = 0;
    uint64_t count;

    if (forkfold_dictionary_get(dictionary, "answer", 6, &value) != 1 || value != 42)
        return 1;
    if (forkfold_dictionary_get(dictionary, "question", 8, &value) != 0)
        return 2;
    if (forkfold_dictionary_count(dictionary, &count) != FORKFOLD_E_FORKED ||
        forkfold_dictionary_next(dictionary, &entry) != FORKFOLD_E_FORKED)
        return 3;
    return forkfold_dictionary_add(dictionary, NULL, 1, 1) == FORKFOLD_E_INVALID ? 0 : 4;
}

static void workers_read_what_the_host_has_added(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_dictionary *dictionary = open_dictionary(pool, 1);
    forkfold_call_options options = {.function = read_in_worker,
                                     .count = 1,
                                     .context = &dictionary,
                                     .context_bytes = sizeof(void *)};
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool, forkfold_dictionary_add(dictionary, "answer", 6, 42));
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), 0);
    forkfold_call_close(call);
    forkfold_dictionary_close(dictionary);
    forkfold_pool_close(pool);
}

/* One of a pool that was opened after the worker's. */
static int try_in_worker(const forkfold_item *item)
{
    forkfold_dictionary *dictionary = *(forkfold_dictionary *const *)item->context;
    forkfold_dictionary_entry entry;
    int64_t value;
    uint64_t count;

    forkfold_dictionary_rewind(dictionary);
    return forkfold_dictionary_add(dictionary, "k", 1, 1) == FORKFOLD_E_FORKED &&
                   forkfold_dictionary_get(dictionary, "k", 1, &value) == FORKFOLD_E_FORKED &&
                   forkfold_dictionary_count(dictionary, &count) == FORKFOLD_E_FORKED &&
                   forkfold_dictionary_next(dictionary, &entry) == FORKFOLD_E_FORKED
               ? 0
               : 1;
}

static void workers_of_pools_that_were_there_before_are_refused(void **state)
{
    forkfold_pool *older = open_pool(1);
    forkfold_pool *owner = open_pool(1);
    forkfold_dictionary *dictionary = open_dictionary(owner, 1);
    forkfold_call_options options = {.function = try_in_worker,
                                     .count = 1,
                                     .context = &dictionary,
                                     .context_bytes = sizeof(void *)};
    forkfold_call *call = NULL;

    (void)state;
    assert_works(older, forkfold_map(older, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), 0);
    forkfold_call_close(call);
    assert_works(owner, forkfold_dictionary_add(dictionary, "k", 1, 1));
    forkfold_dictionary_close(dictionary);
    forkfold_pool_close(owner);
    forkfold_pool_close(older);
}

static void full_dictionary_is_an_error_for_workers(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_dictionary *dictionary = open_dictionary(pool, 50);
    forkfold_call_options options = counting(&dictionary, 2 * KEYS);
    forkfold_call *call = NULL;
    uint64_t keys;

    (void)state;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_works(pool, forkfold_dictionary_count(dictionary, &keys));
    /* Each worker may have looked just before the other one's key was counted. */
    assert_in_range(keys, 50, 51);
    assert_int_equal(forkfold_call_failure_count(call), 2 * (KEYS - keys));
    assert_string_equal(forkfold_call_failure(call, 0)->detail,
                        forkfold_strerror(FORKFOLD_E_LIMIT));
    assert_int_equal(forkfold_dictionary_add(dictionary, "new", 3, 1), FORKFOLD_E_LIMIT);
    forkfold_call_close(call);
    forkfold_dictionary_close(dictionary);
    forkfold_pool_close(pool);
}

static void a_pool_has_so_many_dictionaries(void **state)
{
    forkfold_dictionary *all[FORKFOLD_DICTIONARIES_MAX];
    forkfold_dictionary *one_more = NULL;
    forkfold_pool *pool = open_pool(1);
    int64_t value;

    (void)state;
    for (unsigned i = 0; i < FORKFOLD_DICTIONARIES_MAX; i++) {
        all[i] = open_dictionary(pool, 1);
        assert_works(pool, forkfold_dictionary_add(all[i], "k", 1, i));
    }
    assert_int_equal(
        forkfold_dictionary_open(pool, &(forkfold_dictionary_options){.capacity = 1}, &one_more),
        FORKFOLD_E_LIMIT);
    for (unsigned i = 0; i < FORKFOLD_DICTIONARIES_MAX; i++) {
        assert_int_equal(forkfold_dictionary_get(all[i], "k", 1, &value), 1);
        assert_int_equal(value, i);
        forkfold_dictionary_close(all[i]);
    }
    one_more = open_dictionary(pool, 1);
    forkfold_dictionary_close(one_more);
    forkfold_pool_close(pool);
}

/* A function that fails closes what it had opened, and its caller asks why. */
static void message_of_the_pool_stays_after_rewinding_and_closing(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_dictionary *dictionary = open_dictionary(pool, 1);

    (void)state;
    assert_int_equal(forkfold_map(pool, NULL, NULL), FORKFOLD_E_INVALID);
    forkfold_dictionary_rewind(dictionary);
    assert_string_equal(forkfold_pool_message(pool), "a call needs options");
    forkfold_dictionary_close(dictionary);
    assert_string_equal(forkfold_pool_message(pool), "a call needs options");
    forkfold_dictionary_rewind(dictionary);
    assert_string_equal(forkfold_pool_message(pool), "a call needs options");
    forkfold_pool_close(pool);
}

static bool is_mapped(const void *address)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char resident;

    return mincore((char *)address - (uintptr_t)address % page, page, &resident) == 0;
}

/* And closing leaves it nothing. */
static void forked_child_is_told(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_dictionary *dictionary = open_dictionary(pool, 1);
    forkfold_dictionary_entry entry;
    int64_t value;
    int status;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        bool told = forkfold_dictionary_add(dictionary, "k", 1, 1) == FORKFOLD_E_FORKED &&
                    forkfold_dictionary_get(dictionary, "k", 1, &value) == FORKFOLD_E_FORKED &&
                    forkfold_dictionary_next(dictionary, &entry) == FORKFOLD_E_FORKED;

        forkfold_dictionary_rewind(dictionary);
        forkfold_dictionary_close(dictionary);
        forkfold_pool_close(pool);
        _exit(told && !is_mapped(dictionary) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_works(pool, forkfold_dictionary_add(dictionary, "k", 1, 1));
    forkfold_dictionary_close(dictionary);
    forkfold_pool_close(pool);
}

struct closing {
    forkfold_dictionary *dictionary;
    unsigned times;
};

static void close_both(forkfold_call *call, void *user)
{
    struct closing *closing = user;

    forkfold_call_close(call);
    forkfold_dictionary_close(closing->dictionary);
    closing->times++;
}

static void close_both_after_an_error(forkfold_call *call, int code, void *user)
{
    (void)code;
    close_both(call, user);
}

/* The call that is closed there is still held by the function that runs the callback. */
static void a_callback_may_close_it(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct closing closing = {.dictionary = open_dictionary(pool, KEYS)};
        forkfold_call_options options = counting(&closing.dictionary, 100);
        forkfold_call *call = NULL;

        reset_script(NULL);
        if (i == 1) {
            plan(HANG, 3, 1);
            options.deadline_ns = 20 * FF_NS_PER_MS;
        }
        options.on_done = close_both;
        options.on_error = close_both_after_an_error;
        options.user = &closing;
        assert_works(pool, forkfold_map_async(pool, &options, &call));
        while (closing.times == 0)
            (void)forkfold_call_wait(call, UINT64_MAX);
        assert_int_equal(closing.times, 1);
    }
    forkfold_pool_close(pool);
}

/* ---- Deaths -------------------------------------------------------------- */

static void start_killer(forkfold_pool *pool, uint64_t seed, pid_t *killer)
{
    pid_t supervisor = supervisor_of_only_pool();

    (void)pool;
    *killer = fork();
    if (*killer != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail */
    for (uint64_t i = seed;; i++) {
        pid_t workers[8];
        unsigned count = children_of(supervisor, workers, 8);
        uint64_t until = ff_clock_ns() + mix(i) % (4 * FF_NS_PER_MS);

        if (count > 0)
            kill(workers[mix(i + 1) % count], SIGKILL);
        while (ff_clock_ns() < until)
            sched_yield();
    }
}

/* What every item has added at least once, and what was begun again at most as often. */
static void random_kills_only_repeat_additions(void **state)
{
    enum { ROUNDS = SANITIZED ? 5 : 40, COUNT = 30000 };
    uint64_t seed = random_u64();

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        forkfold_pool *pool = open_pool_with(
            &(forkfold_pool_options){.workers = 1 + round % 4, .max_deaths = 1000000});
        forkfold_dictionary *dictionary = open_dictionary(pool, 2 * KEYS);
        forkfold_call_options options = counting(&dictionary, COUNT);
        forkfold_call *call = NULL;
        pid_t killer;

        reset_script(NULL);
        options.retries_plus_one = 1000000;
        start_killer(pool, mix(seed + round), &killer);
        assert_works(pool, forkfold_map(pool, &options, &call));
        kill(killer, SIGKILL);
        assert_int_equal(waitpid(killer, NULL, 0), killer);
        assert_int_equal(forkfold_call_failure_count(call), 0);
        assert_counted(dictionary, COUNT, script->runs - COUNT);
        forkfold_call_close(call);
        forkfold_dictionary_close(dictionary);
        forkfold_pool_close(pool);
    }
}

#ifdef FF_KILL_POINTS
/* How many additions a death there repeats. */
static const struct {
    const char *point;
    unsigned repeats;
} points[] = {
    {"dictionary.taken", 0},   {"dictionary.written", 0}, {"dictionary.claimed", 0},
    {"dictionary.counted", 0}, {"dictionary.added", 1},
};

static void death_at_any_step_hinders_nobody(void **state)
{
    enum { COUNT = 5 * KEYS };

    (void)state;
    for (size_t p = 0; p < sizeof(points) / sizeof(points[0]); p++)
        for (unsigned at = 1; at <= KEYS; at = at * 3 + 1) {
            forkfold_dictionary *dictionary;
            forkfold_call *call = NULL;
            forkfold_pool *pool;
            char order[64];

            reset_script(NULL);
            snprintf(order, sizeof(order), "%s:%s:%u", points[p].point, at % 2 ? "kill" : "segv",
                     at);
            setenv("FORKFOLD_KILL", order, 1);
            pool = open_pool(1 + at % 2);
            unsetenv("FORKFOLD_KILL");
            dictionary = open_dictionary(pool, KEYS);

            forkfold_call_options options = counting(&dictionary, COUNT);

            assert_works(pool, forkfold_map(pool, &options, &call));
            assert_int_equal(forkfold_call_failure_count(call), 0);
            /* At least the item that died has begun twice. */
            assert_true(script->runs > COUNT);
            assert_counted(dictionary, COUNT, points[p].repeats);
            forkfold_call_close(call);
            forkfold_dictionary_close(dictionary);
            forkfold_pool_close(pool);
        }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_any_bytes_count_apart),
        cmocka_unit_test(full_dictionary_refuses_new_keys_only),
        cmocka_unit_test(full_heap_refuses_what_does_not_fit),
        cmocka_unit_test(sums_beyond_64_bits_say_so),
        cmocka_unit_test(sizes_beyond_all_memory_are_refused),
        cmocka_unit_test(damage_is_found_out),
        cmocka_unit_test(threads_that_add_at_once_lose_nothing),
        WITH_SCRIPT(bad_options_are_refused),
        WITH_SCRIPT(bad_keys_are_refused),
        WITH_SCRIPT(workers_and_host_count_together),
        WITH_SCRIPT(workers_read_what_the_host_has_added),
        WITH_SCRIPT(workers_of_pools_that_were_there_before_are_refused),
        WITH_SCRIPT(full_dictionary_is_an_error_for_workers),
        WITH_SCRIPT(a_pool_has_so_many_dictionaries),
        WITH_SCRIPT(message_of_the_pool_stays_after_rewinding_and_closing),
        WITH_SCRIPT(forked_child_is_told),
        WITH_SCRIPT(a_callback_may_close_it),
        WITH_SCRIPT(random_kills_only_repeat_additions),
#ifdef FF_KILL_POINTS
        WITH_SCRIPT(death_at_any_step_hinders_nobody),
#endif
    };

    seed_random();
    return cmocka_run_group_tests(tests, make_script, NULL);
}
