/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of functions on items, and of the library's own functions of numbers. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "soak.h"

enum {
    ITEM_BITS = 14,
    SPIN_BITS = 12,
    VARYING_MOST = 300,
    POISON_ATTEMPTS = 5,
    POISON_ONE_IN = 100,
    HANG_TIMEOUT_NS = 100 * 1000 * 1000,
};

struct context {
    uint64_t salt;
    uint64_t spin;
    uint64_t *output;
};

/* ---- In the workers ------------------------------------------------------ */

static int mix_item(const forkfold_item *item)
{
    const struct context *context = item->context;

    spin(context->spin);
    *(uint64_t *)item->result = mix(*(const uint64_t *)item->arguments[0] ^ context->salt);
    return 0;
}

static size_t varying_bytes(uint64_t number)
{
    return number % 50 == 0 ? number % 20000 : number % VARYING_MOST;
}

/* So many bytes that repeat the second argument. */
static int repeat_item(const forkfold_item *item)
{
    size_t bytes = varying_bytes(*(const uint64_t *)item->arguments[0]);
    const char *pattern = item->arguments[1];
    char *result = forkfold_item_reserve(item, bytes);

    if (result == NULL)
        return forkfold_item_fail(item, "no room");
    for (size_t i = 0; i < bytes; i++)
        result[i] = pattern[i % item->argument_bytes[1]];
    return 0;
}

static int write_item(const forkfold_item *item)
{
    const struct context *context = item->context;

    context->output[item->index] = mix(*(const uint64_t *)item->arguments[0] ^ context->salt);
    return 0;
}

enum poison { HARMLESS, FAILS, CRASHES, ABORTS, EXITS, HANGS, POISONS };

/* One crashes always, so that the first round has met it. */
static enum poison poison_of(const struct context *context, uint64_t index)
{
    uint64_t number = mix(index ^ context->salt);

    if (index == 0)
        return CRASHES;
    return number % POISON_ONE_IN == 0 ? (enum poison)(number / POISON_ONE_IN % POISONS) : HARMLESS;
}

static int poisoned_item(const forkfold_item *item)
{
    switch (poison_of(item->context, item->index)) {
    case FAILS:
        return forkfold_item_fail(item, "item %" PRIu64 " is bad", item->index);
    case CRASHES:
        raise(SIGSEGV);
        break;
    case ABORTS:
        abort();
    case EXITS:
        _exit(3);
    case HANGS:
        for (;;)
            pause();
    default:
        break;
    }
    *(uint64_t *)item->result = mix(item->index);
    return 0;
}

/* ---- Items --------------------------------------------------------------- */

/* Small calls of long items, and large ones of short. */
static uint64_t draw_items(struct soak *soak, struct context *context)
{
    uint64_t count = 1 + draw_size(soak, ITEM_BITS);

    *context = (struct context){.salt = draw(soak, UINT64_MAX),
                                .spin = draw_size(soak, SPIN_BITS) * 64 / (64 + count / 64)};
    return count;
}

static uint64_t draw_chunk(struct soak *soak)
{
    return draw(soak, 2) == 0 ? 0 : 1 + draw_size(soak, 8);
}

static void fill(uint64_t *numbers, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        numbers[i] = mix(i);
}

static forkfold_call_options mixing(struct soak *soak, const uint64_t *numbers, uint64_t count,
                                    const struct context *context)
{
    return (forkfold_call_options){.function = mix_item,
                                   .count = count,
                                   .arrays = {{.data = numbers, .item_bytes = sizeof(*numbers)}},
                                   .array_count = 1,
                                   .context = context,
                                   .context_bytes = sizeof(*context),
                                   .result_bytes = sizeof(uint64_t),
                                   .chunk = draw_chunk(soak),
                                   .retries_plus_one = ATTEMPTS,
                                   .stop_on_failure = 1,
                                   .measure = draw(soak, 4) == 0};
}

static void check_mixed(const struct soak *soak, const forkfold_call *call, uint64_t count,
                        const struct context *context)
{
    const uint64_t *results = forkfold_call_results(call);

    for (uint64_t i = 0; i < count; i++)
        EXPECT(soak, results[i] == mix(mix(i) ^ context->salt), "result %" PRIu64 " is wrong", i);
}

void soak_map(struct soak *soak)
{
    struct context context;
    uint64_t count = draw_items(soak, &context);
    uint64_t *numbers = allocate(soak, count * sizeof(*numbers));
    forkfold_call_options options;
    forkfold_call *call;

    fill(numbers, count);
    options = mixing(soak, numbers, count, &context);
    MUST(soak, forkfold_map(soak->pool, &options, &call));
    check_mixed(soak, call, count, &context);
    forkfold_call_close(call);
    free(numbers);
}

static void check_repeated(const struct soak *soak, const forkfold_result *result, uint64_t number,
                           const char *pattern, size_t pattern_bytes)
{
    const char *bytes = result->data;

    EXPECT(soak, !result->failed && result->bytes == varying_bytes(number),
           "%zu bytes instead of %zu", result->bytes, varying_bytes(number));
    for (size_t i = 0; i < result->bytes; i++)
        EXPECT(soak, bytes[i] == pattern[i % pattern_bytes], "byte %zu is wrong", i);
}

void soak_varying(struct soak *soak)
{
    uint64_t count = 1 + draw_size(soak, 12);
    uint64_t *numbers = allocate(soak, count * sizeof(*numbers));
    uint64_t *offsets = allocate(soak, (count + 1) * sizeof(*offsets));
    char *patterns = allocate(soak, count * 16);
    forkfold_call_options options = {.function = repeat_item,
                                     .count = count,
                                     .arrays = {{.data = numbers, .item_bytes = sizeof(*numbers)},
                                                {.data = patterns, .offsets = offsets}},
                                     .array_count = 2,
                                     .results_vary = 1,
                                     .chunk = draw_chunk(soak),
                                     .retries_plus_one = ATTEMPTS};
    forkfold_call *call;
    forkfold_result result;

    fill(numbers, count);
    offsets[0] = 0;
    for (uint64_t i = 0; i < count; i++)
        offsets[i + 1] = offsets[i] + 1 + numbers[i] % 16;
    for (uint64_t i = 0; i < offsets[count]; i++)
        patterns[i] = (char)mix(i);
    MUST(soak, forkfold_starmap(soak->pool, &options, &call));
    for (uint64_t i = 0; i < count; i++) {
        MUST(soak, forkfold_call_result(call, i, &result));
        check_repeated(soak, &result, numbers[i], patterns + offsets[i],
                       offsets[i + 1] - offsets[i]);
    }
    forkfold_call_close(call);
    free(patterns);
    free(offsets);
    free(numbers);
}

/* One in four is left before its end. */
void soak_imap(struct soak *soak)
{
    struct context context;
    uint64_t count = draw_items(soak, &context);
    uint64_t most = draw(soak, 4) == 0 ? draw(soak, count) : count;
    int ordered = draw(soak, 2) == 0;
    uint64_t *numbers = allocate(soak, count * sizeof(*numbers));
    char *seen = allocate(soak, count);
    forkfold_call_options options;
    forkfold_call *call;
    forkfold_result result;

    memset(seen, 0, count);
    fill(numbers, count);
    options = mixing(soak, numbers, count, &context);
    options.buffer_items = draw(soak, 2) == 0 ? 0 : 1 + draw_size(soak, 10);
    MUST(soak, ordered ? forkfold_imap(soak->pool, &options, &call)
                       : forkfold_imap_unordered(soak->pool, &options, &call));
    for (uint64_t i = 0; i < most; i++) {
        EXPECT(soak, forkfold_call_next(call, &result) == 1, "no result %" PRIu64 ": %s", i,
               forkfold_call_message(call));
        EXPECT(soak, result.index < count && (!ordered || result.index == i) && !seen[result.index],
               "result %" PRIu64 " comes at %" PRIu64, result.index, i);
        seen[result.index] = 1;
        EXPECT(soak, *(const uint64_t *)result.data == mix(mix(result.index) ^ context.salt),
               "result %" PRIu64 " is wrong", result.index);
    }
    EXPECT(soak, most < count || forkfold_call_next(call, &result) == 0, "it does not end");
    forkfold_call_close(call);
    free(seen);
    free(numbers);
}

static void count_done(forkfold_call *call, void *user)
{
    (void)call;
    ++*(unsigned *)user;
}

static void count_error(forkfold_call *call, int code, void *user)
{
    (void)call;
    *(unsigned *)user += code == FORKFOLD_E_CANCELLED ? 1000 : 1000000;
}

/* Several at once, waited for in another order; some are cancelled. */
void soak_async(struct soak *soak)
{
    enum { CALLS = 6 };
    struct context contexts[CALLS];
    uint64_t counts[CALLS];
    uint64_t *numbers[CALLS];
    forkfold_call *calls[CALLS];
    unsigned ends[CALLS] = {0};

    for (unsigned i = 0; i < CALLS; i++) {
        forkfold_call_options options;

        counts[i] = i == 0 ? 1 : draw_items(soak, &contexts[i]);
        if (i == 0)
            contexts[i] = (struct context){.salt = 1, .spin = 1000};
        numbers[i] = allocate(soak, counts[i] * sizeof(*numbers[i]));
        fill(numbers[i], counts[i]);
        options = mixing(soak, numbers[i], counts[i], &contexts[i]);
        options.on_done = count_done;
        options.on_error = count_error;
        options.user = &ends[i];
        MUST(soak, i == 0 ? forkfold_apply_async(soak->pool, &options, &calls[i])
                          : forkfold_map_async(soak->pool, &options, &calls[i]));
        free(numbers[i]);
    }
    MUST(soak, forkfold_pool_dispatch(soak->pool));
    for (unsigned k = 0, start = (unsigned)draw(soak, CALLS); k < CALLS; k++) {
        unsigned i = (start + 5 * k) % CALLS;
        int code;

        if (draw(soak, 6) == 0)
            forkfold_call_cancel(calls[i]);
        while ((code = forkfold_call_wait(calls[i], draw(soak, 1000000))) == FORKFOLD_E_PENDING)
            ;
        EXPECT(soak, code == 0 || code == FORKFOLD_E_CANCELLED, "%s",
               forkfold_call_message(calls[i]));
        EXPECT(soak, ends[i] == (code == 0 ? 1U : 1000U), "%u callbacks after %d", ends[i], code);
        if (code == 0)
            check_mixed(soak, calls[i], counts[i], &contexts[i]);
        forkfold_call_close(calls[i]);
    }
}

static int mix_argument(const forkfold_item *item)
{
    *(uint64_t *)item->result = mix(*(const uint64_t *)item->arguments[0]);
    return 0;
}

void soak_apply(struct soak *soak)
{
    enum { APPLIES = 50 };

    for (uint64_t i = 0; i < APPLIES; i++) {
        uint64_t argument = draw(soak, UINT64_MAX), result = 0, before = killer_kills();
        int code = forkfold_apply(soak->pool, mix_argument, &argument, sizeof(argument), &result,
                                  sizeof(result));

        MUST_UNLESS_KILLED(soak, before, code);
        EXPECT(soak, code < 0 || result == mix(argument), "a wrong result");
    }
}

/* ---- Items that kill ----------------------------------------------------- */

/* Its last attempt may have been ended by the killer, or been too slow in saying how it crashed. */
static void check_failure(const struct soak *soak, const forkfold_item_failure *failure,
                          enum poison poison)
{
    static const struct {
        enum forkfold_reason reason;
        int signal;
        int exit_code;
    } wanted[POISONS] = {
        [FAILS] = {FORKFOLD_REASON_ERROR, 0, -1},
        [CRASHES] = {FORKFOLD_REASON_SIGNAL, SIGSEGV, -1},
        [ABORTS] = {FORKFOLD_REASON_SIGNAL, SIGABRT, -1},
        [EXITS] = {FORKFOLD_REASON_EXIT, 0, 3},
    };
    int is_killed = failure->reason == FORKFOLD_REASON_SIGNAL && failure->signal == SIGKILL;

    EXPECT(soak, poison == FAILS || failure->attempts == POISON_ATTEMPTS, "%u attempts",
           failure->attempts);
    if (poison != FAILS && (is_killed || failure->reason == FORKFOLD_REASON_TIMEOUT))
        return;
    EXPECT(soak,
           failure->reason == wanted[poison].reason && failure->signal == wanted[poison].signal &&
               failure->exit_code == wanted[poison].exit_code,
           "item %" PRIu64 ", poison %d, signal %d, exit code %d: %s", failure->index, poison,
           failure->signal, failure->exit_code, failure->detail);
}

void soak_poison(struct soak *soak)
{
    struct context context = {.salt = draw(soak, UINT64_MAX)};
    uint64_t count = 1 + draw_size(soak, 10);
    forkfold_call_options options = {.function = poisoned_item,
                                     .count = count,
                                     .context = &context,
                                     .context_bytes = sizeof(context),
                                     .result_bytes = sizeof(uint64_t),
                                     .chunk = draw_chunk(soak),
                                     .timeout_ns = HANG_TIMEOUT_NS,
                                     .retries_plus_one = POISON_ATTEMPTS};
    uint64_t failures = 0;
    forkfold_call *call;
    forkfold_result result;

    MUST(soak, forkfold_map(soak->pool, &options, &call));
    for (uint64_t i = 0; i < count; i++) {
        enum poison poison = poison_of(&context, i);

        MUST(soak, forkfold_call_result(call, i, &result));
        EXPECT(soak, result.failed == (poison != HARMLESS), "item %" PRIu64 ", poison %d", i,
               poison);
        if (poison == HARMLESS)
            EXPECT(soak, *(const uint64_t *)result.data == mix(i), "result %" PRIu64 " is wrong",
                   i);
        else
            check_failure(soak, forkfold_call_failure_of(call, i), poison);
        failures += poison != HARMLESS;
    }
    EXPECT(soak, forkfold_call_failure_count(call) == failures, "other failures");
    forkfold_call_close(call);
}

/* ---- Shared arrays and numbers ------------------------------------------- */

static forkfold_shared *open_array(struct soak *soak, uint64_t count)
{
    forkfold_shared *array;

    if (draw(soak, 3) == 0)
        return soak_open_file(soak, count);
    MUST(soak, forkfold_shared_open(soak->pool, FORKFOLD_U64, count, &array));
    return array;
}

void soak_shared(struct soak *soak)
{
    struct context context;
    uint64_t count = draw_items(soak, &context);
    forkfold_shared *in = open_array(soak, count), *out = open_array(soak, count);
    uint64_t *numbers = forkfold_shared_data(in);
    forkfold_call_options options;
    forkfold_call *call;

    fill(numbers, count);
    context.output = forkfold_shared_data(out);
    options = mixing(soak, numbers, count, &context);
    options.function = write_item;
    options.outputs[0] = out;
    options.result_bytes = 0;
    MUST(soak, forkfold_map(soak->pool, &options, &call));
    forkfold_call_close(call);
    for (uint64_t i = 0; i < count; i++)
        EXPECT(soak, context.output[i] == mix(mix(i) ^ context.salt),
               "element %" PRIu64 " is wrong", i);
    forkfold_shared_close(out);
    forkfold_shared_close(in);
}

static void check_primes(struct soak *soak)
{
    uint64_t before = killer_kills(), count = 0;
    forkfold_shared *primes;
    int code = forkfold_count_primes(soak->pool, 0, 3000000, &count);

    MUST_UNLESS_KILLED(soak, before, code);
    EXPECT(soak, code < 0 || count == 216816, "%" PRIu64 " primes below 3,000,000", count);
    before = killer_kills();
    code = forkfold_primes(soak->pool, 200000, &primes);
    MUST_UNLESS_KILLED(soak, before, code);
    if (code < 0)
        return;
    EXPECT(soak,
           forkfold_shared_count(primes) == 17984 &&
               ((const uint32_t *)forkfold_shared_data(primes))[17983] == 199999,
           "other primes below 200,000");
    forkfold_shared_close(primes);
}

static void check_sums(struct soak *soak)
{
    uint64_t count = 1 + draw_size(soak, 20), before = killer_kills();
    forkfold_shared *shared;
    forkfold_int128 sum;
    int64_t *numbers;
    int code;

    MUST(soak, forkfold_shared_open(soak->pool, FORKFOLD_I64, count, &shared));
    numbers = forkfold_shared_data(shared);
    for (uint64_t i = 0; i < count; i++)
        numbers[i] = (int64_t)i;
    code =
        forkfold_sum_integers(soak->pool, &(forkfold_numbers){numbers, FORKFOLD_I64, count}, &sum);
    MUST_UNLESS_KILLED(soak, before, code);
    EXPECT(soak, code < 0 || (sum.high == 0 && sum.low == count * (count - 1) / 2), "a wrong sum");
    forkfold_shared_close(shared);
}

void soak_numbers(struct soak *soak)
{
    check_primes(soak);
    check_sums(soak);
}
