/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random data for property tests.  The seed is printed, and taken from
 * FORKFOLD_TEST_SEED when that is set, so that a failure can be repeated.
 */
#ifndef FF_TEST_RANDOM_KEYS_H
#define FF_TEST_RANDOM_KEYS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t random_state;

static inline uint64_t random_u64(void)
{
    uint64_t mixed = random_state += UINT64_C(0x9E3779B97F4A7C15);

    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ (mixed >> 31);
}

/* At least 0, below limit. */
static inline size_t random_below(size_t limit)
{
    return (size_t)(random_u64() % limit);
}

static inline void seed_random(void)
{
    const char *text = getenv("FORKFOLD_TEST_SEED");
    struct timespec now;

    if (text) {
        random_state = strtoull(text, NULL, 0);
    } else {
        clock_gettime(CLOCK_REALTIME, &now);
        random_state = (uint64_t)now.tv_nsec ^ ((uint64_t)now.tv_sec << 20) ^ (uint64_t)getpid();
    }
    printf("# FORKFOLD_TEST_SEED=%llu\n", (unsigned long long)random_state);
    fflush(stdout);
}

/* Distinct keys in byte order, and the sum that a test expects of each. */
struct random_key {
    char *bytes;
    size_t length;
    uint64_t sum;
};

struct random_keys {
    struct random_key *keys;
    size_t count;
};

static inline int compare_key_bytes(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);

    return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

static inline int compare_random_keys(const void *a, const void *b)
{
    const struct random_key *left = a;
    const struct random_key *right = b;

    return compare_key_bytes(left->bytes, left->length, right->bytes, right->length);
}

/* Mostly short; few different bytes, NUL among them, so that many keys begin alike. */
static inline struct random_key make_random_key(void)
{
    static const char few[] = {'\0', 'a', 'b', '\xff'};
    size_t kind = random_below(2000);
    struct random_key key = {.length = random_below(41)};

    if (kind == 0)
        key.length = 100000 + random_below(100);
    else if (kind < 40)
        key.length = 41 + random_below(400);
    key.bytes = malloc(key.length + 1);
    if (!key.bytes)
        abort();
    for (size_t i = 0; i < key.length; i++)
        key.bytes[i] = kind % 2 == 0 ? few[random_below(sizeof(few))] : (char)random_u64();
    /* A long common beginning, so that keys differ behind the prefix only. */
    if (kind % 4 == 0)
        memset(key.bytes, 'p', key.length < 30 ? key.length / 2 : key.length - 5);
    return key;
}

/* Up to count keys, all sums 0; the empty key and very long ones are always among them. */
static inline struct random_keys make_random_keys(size_t count)
{
    struct random_keys made = {.keys = calloc(count, sizeof(*made.keys))};

    if (!made.keys)
        abort();
    for (size_t i = 0; i < count; i++)
        made.keys[i] = make_random_key();
    made.keys[0].length = 0;
    for (size_t i = 1; i < 3 && i < count; i++) {
        free(made.keys[i].bytes);
        made.keys[i].length = 100000;
        made.keys[i].bytes = malloc(made.keys[i].length);
        if (!made.keys[i].bytes)
            abort();
        memset(made.keys[i].bytes, 'p', made.keys[i].length);
        made.keys[i].bytes[made.keys[i].length - 1] = (char)i;
    }
    qsort(made.keys, count, sizeof(*made.keys), compare_random_keys);
    for (size_t i = 0; i < count; i++) {
        if (made.count > 0 && compare_random_keys(&made.keys[made.count - 1], &made.keys[i]) == 0)
            free(made.keys[i].bytes);
        else
            made.keys[made.count++] = made.keys[i];
    }
    return made;
}

static inline void free_random_keys(struct random_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        free(keys->keys[i].bytes);
    free(keys->keys);
}

#endif
