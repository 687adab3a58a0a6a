/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Primes on the pool.  A list takes two calls: the first sieves ranges into one map of bits and
 * counts them, which tells where in the list each range belongs; the second turns the map into
 * numbers there.  The second costs a fraction of the first, and nothing has to be moved.  A list that
 * is short enough the calling process makes itself, in the same two steps.
 */
#include <forkfold/primes.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/call.h>

#include "jobs/sieve.h"
#include "platform/available.h"
#include "pool/call.h"

/* Ranges for each worker, so that those who end early find more, and segments in a range at most. */
enum { RANGES_PER_WORKER = 8, SEGMENTS_PER_RANGE = 16 };

/* How much longer than the root of the limit a range is, for the divisions at its begin not to show. */
enum { ROOTS_PER_RANGE = 100 };

/* Memory from which it is looked whether there is so much. */
#define LARGE_BYTES ((double)(64 << 20))

/*
 * Lists up to such a limit are made where they are asked for.  Measured: workers, who are woken twice,
 * take twice as long there; beyond it there are enough segments for several.
 */
enum { LIMIT_HERE = 4000000 };

/* The context of both calls. */
struct sieving {
    uint64_t id; /* of the call: tells workers whether they have this sieve already */
    const struct ff_sieve_base *base;
    uint64_t from;
    uint64_t to;
    uint64_t step;  /* numbers of a range, a multiple of 30 but for the first and the last */
    uint8_t *map;   /* of [0, to), or NULL */
    void *list;     /* the primes in order, or NULL */
    bool is_narrow; /* the list has 32 bits for each */
};

struct range {
    uint64_t from;
    uint64_t to;
};

/* Ranges end at multiples of step, wherever the first begins. */
static struct range range_of(const struct sieving *sieving, uint64_t number)
{
    uint64_t first = sieving->from / sieving->step;
    uint64_t start = (first + number) * sieving->step;
    struct range range = {.from = start > sieving->from ? start : sieving->from, .to = sieving->to};

    if (sieving->to - start > sieving->step)
        range.to = start + sieving->step;
    return range;
}

static uint64_t range_count(const struct sieving *sieving)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): choose_step never says 0 */
    return (sieving->to - 1) / sieving->step - sieving->from / sieving->step + 1;
}

/* ---- In the workers ------------------------------------------------------ */

/* A worker's sieve is kept for the next range of the same call. */
static struct ff_sieve *sieve_for(const struct sieving *sieving)
{
    static struct ff_sieve *sieve;
    static uint64_t id;

    if (sieve != NULL && id == sieving->id)
        return sieve;
    ff_sieve_close(sieve);
    sieve = NULL;
    id = sieving->id;
    return ff_sieve_open(&sieve, sieving->base) == 0 ? sieve : NULL;
}

static int fail(const forkfold_item *item, int code)
{
    return forkfold_item_fail(item, "cannot sieve: %s", forkfold_strerror(code));
}

/* The result is how many primes the range has; its part of the map is written if there is one. */
static int sieve_range(const forkfold_item *item)
{
    const struct sieving *sieving = item->context;
    struct range range = range_of(sieving, item->index);
    struct ff_sieve *sieve = sieve_for(sieving);
    int code;

    if (sieve == NULL)
        return fail(item, FORKFOLD_E_MEMORY);
    code = sieving->map != NULL ? ff_sieve_map(sieve, range.from, range.to,
                                               sieving->map + range.from / 30, item->result)
                                : ff_sieve_count(sieve, range.from, range.to, item->result);
    return code < 0 ? fail(item, code) : 0;
}

/* The argument is the place of the range's first prime, and of the next range's. */
static int list_range(const forkfold_item *item)
{
    const struct sieving *sieving = item->context;
    struct range range = range_of(sieving, item->index);
    const uint8_t *map = sieving->map + range.from / 30;
    uint64_t places[2];
    uint64_t count;
    int code;

    memcpy(places, item->arguments[0], sizeof(places));
    code = sieving->is_narrow ? ff_sieve_map_list_u32(map, range.from, range.to,
                                                      (uint32_t *)sieving->list + places[0],
                                                      places[1] - places[0], &count)
                              : ff_sieve_map_list_u64(map, range.from, range.to,
                                                      (uint64_t *)sieving->list + places[0],
                                                      places[1] - places[0], &count);
    return code < 0 ? fail(item, code) : 0;
}

/* ---- In the driver ------------------------------------------------------- */

/* Whole segments, unless the range begins with costs that only a longer one makes up for. */
static uint64_t choose_step(const struct sieving *sieving, uint64_t segment, unsigned workers)
{
    uint64_t wanted = (sieving->to - sieving->from) / ((uint64_t)workers * RANGES_PER_WORKER);
    uint64_t roots = sieving->base->root * ROOTS_PER_RANGE;
    uint64_t most = segment * SEGMENTS_PER_RANGE;

    if (wanted > most)
        wanted = most;
    if (wanted < roots)
        wanted = roots;
    return (wanted / segment + 1) * segment;
}

static int fail_memory(forkfold_pool *pool)
{
    return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory to sieve");
}

/* Before any of it is taken: what there is not would be touched page by page, up to a kill. */
static int check_memory(forkfold_pool *pool, double bytes, uint64_t limit, const char *what,
                        const char *way_out)
{
    static const double gib = 1 << 30;
    uint64_t available;

    if (bytes < LARGE_BYTES)
        return 0;
    available = ff_available_memory();
    if (bytes <= (double)available)
        return 0;
    return ff_error_set(&pool->error, FORKFOLD_E_MEMORY,
                        "%s the primes below %llu may take %.1f GiB of memory, and %.1f GiB are "
                        "available; %s",
                        what, (unsigned long long)limit, bytes / gib, (double)available / gib,
                        way_out);
}

static int check_count_memory(forkfold_pool *pool, uint64_t to)
{
    return check_memory(pool, (double)ff_sieve_base_bytes(to), to, "counting",
                        "choose a lower limit");
}

/* What a list takes at most: limit / log(limit) * (1 + 1.2762 / log(limit)) primes (Dusart, 1999). */
static int check_list_memory(forkfold_pool *pool, uint64_t limit, bool is_narrow)
{
    double logarithm = log((double)limit);
    double primes = (double)limit / logarithm * (1 + 1.2762 / logarithm);
    double bytes = primes * (is_narrow ? sizeof(uint32_t) : sizeof(uint64_t)) +
                   (double)ff_sieve_map_bytes(0, limit) + (double)ff_sieve_base_bytes(limit);

    return check_memory(pool, bytes, limit, "listing",
                        "list fewer, or count them (count_primes), which needs no list");
}

/* Finds the base primes, and how the range is cut. */
static int prepare(forkfold_pool *pool, struct sieving *sieving, forkfold_shared **base)
{
    size_t bytes = ff_sieve_base_bytes(sieving->to);
    struct ff_sieve *sieve;
    int code = forkfold_shared_open(pool, FORKFOLD_RAW, bytes, base);

    if (code < 0)
        return code;
    if (ff_sieve_base_fill(forkfold_shared_data(*base), sieving->to) < 0)
        return fail_memory(pool);
    sieving->base = forkfold_shared_data(*base);
    if (ff_sieve_open(&sieve, sieving->base) < 0)
        return fail_memory(pool);
    sieving->step =
        choose_step(sieving, ff_sieve_segment_numbers(sieve), forkfold_pool_workers(pool));
    ff_sieve_close(sieve);
    sieving->id = ++pool->items.last_serial;
    return 0;
}

/* The counts of all ranges are in the call's results; the caller closes it. */
static int sieve_all(forkfold_pool *pool, const struct sieving *sieving, const forkfold_shared *map,
                     forkfold_call **call)
{
    return forkfold_map(pool,
                        &(forkfold_call_options){.function = sieve_range,
                                                 .count = range_count(sieving),
                                                 .chunk = 1,
                                                 .context = sieving,
                                                 .context_bytes = sizeof(*sieving),
                                                 .outputs = {map},
                                                 .result_bytes = sizeof(uint64_t),
                                                 .stop_on_failure = 1},
                        call);
}

static uint64_t sum_counts(const forkfold_call *call, uint64_t ranges)
{
    const uint64_t *counts = forkfold_call_results(call);
    uint64_t sum = 0;

    for (uint64_t i = 0; i < ranges; i++)
        sum += counts[i];
    return sum;
}

int forkfold_count_primes(forkfold_pool *pool, uint64_t from, uint64_t to, uint64_t *count)
{
    struct sieving sieving = {.from = from, .to = to};
    forkfold_shared *base = NULL;
    forkfold_call *call = NULL;
    int code = ff_call_check(pool);

    if (code < 0)
        return code;
    if (from >= to) {
        *count = 0;
        return 0;
    }
    code = check_count_memory(pool, to);
    if (code == 0)
        code = prepare(pool, &sieving, &base);
    if (code == 0)
        code = sieve_all(pool, &sieving, NULL, &call);
    if (code == 0)
        *count = sum_counts(call, range_count(&sieving));
    forkfold_call_close(call);
    forkfold_shared_close(base);
    return code;
}

/* places[i] is where range i begins in the list; one more says where the last ends. */
static int list_all(forkfold_pool *pool, const struct sieving *sieving, const uint64_t *places,
                    const forkfold_shared *list)
{
    uint64_t ranges = range_count(sieving);
    uint64_t *pairs = malloc((ranges + 1) * 2 * sizeof(*pairs));
    forkfold_call *call = NULL;
    int code = FORKFOLD_E_MEMORY;

    if (pairs != NULL) {
        for (uint64_t i = 0; i < ranges; i++)
            memcpy(&pairs[2 * i], &places[i], 2 * sizeof(*pairs));
        code = forkfold_map(
            pool,
            &(forkfold_call_options){.function = list_range,
                                     .count = ranges,
                                     .chunk = 1,
                                     .arrays = {{.data = pairs, .item_bytes = 2 * sizeof(*pairs)}},
                                     .array_count = 1,
                                     .context = sieving,
                                     .context_bytes = sizeof(*sieving),
                                     .outputs = {list},
                                     .stop_on_failure = 1},
            &call);
    } else {
        fail_memory(pool);
    }
    forkfold_call_close(call);
    free(pairs);
    return code;
}

/* Turns counts into places, and makes a list of just the right length. */
static int list_map(forkfold_pool *pool, struct sieving *sieving, const forkfold_call *sieved,
                    forkfold_shared **list)
{
    uint64_t ranges = range_count(sieving);
    const uint64_t *counts = forkfold_call_results(sieved);
    uint64_t *places = malloc((ranges + 1) * sizeof(*places));
    int code;

    if (places == NULL)
        return fail_memory(pool);
    places[0] = 0;
    for (uint64_t i = 0; i < ranges; i++)
        places[i + 1] = places[i] + counts[i];
    code = forkfold_shared_open(pool, sieving->is_narrow ? FORKFOLD_U32 : FORKFOLD_U64,
                                places[ranges], list);
    if (code == 0) {
        sieving->list = forkfold_shared_data(*list);
        code = list_all(pool, sieving, places, *list);
    }
    free(places);
    return code;
}

/* ---- In the calling process ---------------------------------------------- */

static int sieve_map(uint64_t limit, uint8_t *map, uint64_t *count)
{
    struct ff_sieve_base *base = malloc(ff_sieve_base_bytes(limit));
    struct ff_sieve *sieve = NULL;
    int code = base != NULL ? ff_sieve_base_fill(base, limit) : FORKFOLD_E_MEMORY;

    if (code == 0)
        code = ff_sieve_open(&sieve, base);
    if (code == 0)
        code = ff_sieve_map(sieve, 0, limit, map, count);
    ff_sieve_close(sieve);
    free(base);
    return code;
}

static int list_here(forkfold_pool *pool, uint64_t limit, forkfold_shared **list)
{
    uint8_t *map = malloc(ff_sieve_map_bytes(0, limit));
    uint64_t count = 0;
    int code = map != NULL ? sieve_map(limit, map, &count) : FORKFOLD_E_MEMORY;

    if (code < 0)
        code = fail_memory(pool);
    else
        code = forkfold_shared_open(pool, FORKFOLD_U32, count, list);
    if (code == 0)
        /* The list is as long as the map says, and the limit has 32 bits: it cannot fail. */
        (void)ff_sieve_map_list_u32(map, 0, limit, forkfold_shared_data(*list), count, &count);
    free(map);
    return code;
}

/* ---- Both ---------------------------------------------------------------- */

int forkfold_primes(forkfold_pool *pool, uint64_t limit, forkfold_shared **shared)
{
    struct sieving sieving = {.to = limit, .is_narrow = limit <= UINT64_C(1) << 32};
    forkfold_shared *base = NULL;
    forkfold_shared *map = NULL;
    forkfold_shared *list = NULL;
    forkfold_call *sieved = NULL;
    int code = ff_call_check(pool);

    if (code < 0)
        return code;
    *shared = NULL;
    if (limit < 3)
        return 0;
    if (limit <= LIMIT_HERE)
        return list_here(pool, limit, shared);
    code = check_list_memory(pool, limit, sieving.is_narrow);
    if (code == 0)
        code = prepare(pool, &sieving, &base);
    if (code == 0)
        code = forkfold_shared_open(pool, FORKFOLD_RAW, ff_sieve_map_bytes(0, limit), &map);
    if (code == 0) {
        sieving.map = forkfold_shared_data(map);
        code = sieve_all(pool, &sieving, map, &sieved);
    }
    if (code == 0)
        code = list_map(pool, &sieving, sieved, &list);
    forkfold_call_close(sieved);
    forkfold_shared_close(map);
    forkfold_shared_close(base);
    if (code == 0)
        *shared = list;
    else
        forkfold_shared_close(list);
    return code;
}
