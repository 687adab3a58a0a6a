/* SPDX-License-Identifier: Apache-2.0 */
/* Dictionaries (memory/dictionary.h): opening them, who may use them, and reading them in order. */
#include <stdlib.h>
#include <string.h>

#include <forkfold/dictionary.h>
#include <forkfold/error.h>

#include "pool/call.h"
#include "pool/handles.h"

/* Of a key, unless the caller says otherwise. */
enum { KEY_BYTES = 32 };

/* ---- Opening and closing ------------------------------------------------- */

static int check_open(forkfold_pool *pool, const forkfold_dictionary_options *options)
{
    int code = ff_call_check_process(pool);

    if (code < 0)
        return code;
    if (options == NULL || (options->size != 0 && options->size != sizeof(*options)))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a dictionary needs options of this version of the library");
    if (options->capacity == 0)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a dictionary has room for a key at least");
    return 0;
}

/* The first that is not open, or NULL with the pool's error. */
static forkfold_dictionary *find_place(forkfold_pool *pool)
{
    for (unsigned i = 0; i < FORKFOLD_DICTIONARIES_MAX; i++)
        if (!pool->layout.handles->dictionaries[i].is_open)
            return &pool->layout.handles->dictionaries[i];
    ff_error_set(&pool->error, FORKFOLD_E_LIMIT, "a pool has %d dictionaries at most",
                 FORKFOLD_DICTIONARIES_MAX);
    return NULL;
}

static uint64_t key_bytes_of(const forkfold_dictionary_options *options)
{
    if (options->key_bytes > 0)
        return options->key_bytes;
    return options->capacity < UINT64_MAX / KEY_BYTES ? options->capacity * KEY_BYTES : UINT64_MAX;
}

static void give_memory(forkfold_pool *pool, forkfold_dictionary *dictionary)
{
    ff_arena_give(&pool->items.results, dictionary->shared.words, dictionary->table_bytes);
    ff_arena_give(&pool->items.results, dictionary->shared.heap, dictionary->shared.heap_bytes);
    if (dictionary->reading != NULL)
        free(dictionary->reading->entries);
    free(dictionary->reading);
    dictionary->reading = NULL;
}

/* Everything that a dictionary has, or nothing and a code with the pool's error. */
static int take_memory(forkfold_pool *pool, const forkfold_dictionary_options *options,
                       forkfold_dictionary *dictionary)
{
    struct ff_dictionary *shared = &dictionary->shared;
    struct ff_arena *arena = &pool->items.results;

    dictionary->reading = calloc(1, sizeof(*dictionary->reading));
    if (dictionary->reading == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory for a dictionary");
    shared->capacity = options->capacity;
    shared->slot_count = ff_dictionary_slots(options->capacity);
    shared->heap_bytes = ff_dictionary_heap_bytes(options->capacity, key_bytes_of(options));
    if (shared->slot_count > 0 && shared->heap_bytes > 0) {
        dictionary->table_bytes =
            sizeof(*shared->words) + shared->slot_count * sizeof(*shared->slots);
        shared->words = ff_arena_take_zeroed(arena, dictionary->table_bytes);
        shared->heap = ff_arena_take(arena, shared->heap_bytes);
    }
    if (shared->words != NULL && shared->heap != NULL) {
        shared->slots = (struct ff_dictionary_slot *)(void *)(shared->words + 1);
        return 0;
    }
    give_memory(pool, dictionary);
    return ff_error_set(&pool->error, FORKFOLD_E_LIMIT,
                        "the region has no room for a dictionary of %llu keys; give it fewer, or "
                        "raise the limit of address space (ulimit -v)",
                        (unsigned long long)options->capacity);
}

int forkfold_dictionary_open(forkfold_pool *pool, const forkfold_dictionary_options *options,
                             forkfold_dictionary **result)
{
    forkfold_dictionary dictionary = {.pool = pool, .layout = &pool->layout, .is_open = true};
    forkfold_dictionary *place;
    int code = check_open(pool, options);

    if (code < 0)
        return code;
    place = find_place(pool);
    if (place == NULL)
        return pool->error.code;
    code = take_memory(pool, options, &dictionary);
    if (code < 0)
        return code;
    code = ff_handles_unlock(pool);
    if (code < 0) {
        give_memory(pool, &dictionary);
        return code;
    }
    *place = dictionary;
    ff_handles_lock(&pool->layout);
    *result = place;
    return 0;
}

void forkfold_dictionary_close(forkfold_dictionary *dictionary)
{
    forkfold_pool *pool;

    if (dictionary == NULL)
        return;
    pool = dictionary->pool;
    /* In a forked child there is only the handle.  The pool's message may still be wanted. */
    if (!ff_pool_is_here(pool))
        return;
    /* A worker that is being ended might still add to it. */
    ff_items_drain(pool);
    /* One that cannot be closed keeps its memory. */
    if (ff_handles_unlock(pool) < 0)
        return;
    dictionary->is_open = false;
    give_memory(pool, dictionary);
    ff_handles_lock(&pool->layout);
}

/* ---- Who calls ----------------------------------------------------------- */

/* In a worker the code has to do. */
static int fail(const forkfold_dictionary *dictionary, int code, const char *why)
{
    return ff_worker_here() != NULL ? code
                                    : ff_error_set(&dictionary->pool->error, code, "%s", why);
}

static int check_process(const forkfold_dictionary *dictionary)
{
    return ff_handles_of_others_are_here() ? ff_call_check_process(dictionary->pool)
                                           : FORKFOLD_E_FORKED;
}

static int check_use(const forkfold_dictionary *dictionary)
{
    const struct ff_worker *worker = ff_worker_here();

    if (worker == NULL || !ff_handles_hold(ff_worker_layout(worker), dictionary)) {
        int code = check_process(dictionary);

        if (code < 0)
            return code;
    }
    return dictionary->is_open ? 0
                               : fail(dictionary, FORKFOLD_E_INVALID, "the dictionary is closed");
}

static int check_key(const forkfold_dictionary *dictionary, const void *key, size_t bytes)
{
    int code = check_use(dictionary);

    if (code < 0)
        return code;
    if (key == NULL && bytes > 0)
        return fail(dictionary, FORKFOLD_E_INVALID, "the key has no address");
    if (bytes > UINT32_MAX)
        return fail(dictionary, FORKFOLD_E_INVALID, "a key of a dictionary has 4 GiB at most");
    return 0;
}

static int explain(const forkfold_dictionary *dictionary, enum ff_dictionary_answer answer)
{
    switch (answer) {
    case FF_DICTIONARY_OK:
        return 1;
    case FF_DICTIONARY_NONE:
        return 0;
    case FF_DICTIONARY_FULL:
        return fail(dictionary, FORKFOLD_E_LIMIT,
                    "the dictionary has no room for another key; open it with a larger capacity, "
                    "or with more key_bytes");
    case FF_DICTIONARY_WRAPPED:
        return fail(dictionary, FORKFOLD_E_RANGE,
                    "the counter has gone beyond 64 bits and wrapped around");
    case FF_DICTIONARY_DAMAGED:
        break;
    }
    return fail(dictionary, FORKFOLD_E_DAMAGED, "a worker damaged the dictionary");
}

/* ---- Use ----------------------------------------------------------------- */

int forkfold_dictionary_add(forkfold_dictionary *dictionary, const void *key, size_t bytes,
                            int64_t amount)
{
    int code = check_key(dictionary, key, bytes);

    if (code == 0)
        code = explain(dictionary,
                       ff_dictionary_add(&dictionary->shared, key, (uint32_t)bytes, amount));
    return code < 0 ? code : 0;
}

int forkfold_dictionary_get(forkfold_dictionary *dictionary, const void *key, size_t bytes,
                            int64_t *value)
{
    int code = check_key(dictionary, key, bytes);

    return code < 0 ? code
                    : explain(dictionary,
                              ff_dictionary_get(&dictionary->shared, key, (uint32_t)bytes, value));
}

/* ---- In order ------------------------------------------------------------ */

/* Only in the process that opened it. */
static int check_reading(const forkfold_dictionary *dictionary)
{
    int code = check_process(dictionary);

    if (code < 0)
        return code;
    return dictionary->is_open ? 0
                               : fail(dictionary, FORKFOLD_E_INVALID, "the dictionary is closed");
}

static uint64_t count_keys(const struct ff_dictionary *shared)
{
    uint64_t keys = 0;

    for (uint64_t i = 0; i < shared->slot_count; i++)
        keys += ff_peer_get(&shared->slots[i].key) != 0;
    return keys;
}

int forkfold_dictionary_count(forkfold_dictionary *dictionary, uint64_t *count)
{
    int code = check_reading(dictionary);

    if (code == 0)
        *count = count_keys(&dictionary->shared);
    return code;
}

static int compare_keys(const void *a, const void *b)
{
    const struct ff_dictionary_entry *left = a;
    const struct ff_dictionary_entry *right = b;
    uint32_t common = left->bytes < right->bytes ? left->bytes : right->bytes;
    int order = common > 0 ? memcmp(left->key, right->key, common) : 0;

    return order != 0 ? order : (left->bytes > right->bytes) - (left->bytes < right->bytes);
}

/* All keys that there are now, in order, with their values. */
static int read_all(const forkfold_dictionary *dictionary)
{
    const struct ff_dictionary *shared = &dictionary->shared;
    uint64_t room = count_keys(shared);
    struct ff_dictionary_entry *entries = malloc((room > 0 ? room : 1) * sizeof(*entries));
    size_t count = 0;

    if (entries == NULL)
        return fail(dictionary, FORKFOLD_E_MEMORY, "no memory for the keys of a dictionary");
    /* Those that come while it is read will be found by the next one. */
    for (uint64_t i = 0; i < shared->slot_count && count < room; i++) {
        enum ff_dictionary_answer answer = ff_dictionary_at(shared, i, &entries[count]);

        if (answer == FF_DICTIONARY_DAMAGED) {
            free(entries);
            return explain(dictionary, answer);
        }
        count += answer == FF_DICTIONARY_OK;
    }
    qsort(entries, count, sizeof(*entries), compare_keys);
    *dictionary->reading = (struct ff_dictionary_reading){.entries = entries, .count = count};
    return 0;
}

int forkfold_dictionary_next(forkfold_dictionary *dictionary, forkfold_dictionary_entry *entry)
{
    struct ff_dictionary_reading *reading;
    int code = check_reading(dictionary);

    if (code < 0)
        return code;
    reading = dictionary->reading;
    if (reading->entries == NULL)
        code = read_all(dictionary);
    if (reading->entries == NULL)
        return code;
    if (reading->next == reading->count)
        return 0;
    const struct ff_dictionary_entry *found = &reading->entries[reading->next++];

    *entry = (forkfold_dictionary_entry){
        .key = found->key, .bytes = found->bytes, .value = found->value};
    return 1;
}

void forkfold_dictionary_rewind(forkfold_dictionary *dictionary)
{
    if (!ff_handles_of_others_are_here() || !ff_pool_is_here(dictionary->pool) ||
        !dictionary->is_open)
        return;
    free(dictionary->reading->entries);
    *dictionary->reading = (struct ff_dictionary_reading){0};
}
