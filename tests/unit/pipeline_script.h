/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of pipelines: stages that compute, fail and wait by a rule, what must come out of
 * them, and a page on which they leave word of what they did.
 */
#ifndef FF_TESTS_PIPELINE_SCRIPT_H
#define FF_TESTS_PIPELINE_SCRIPT_H

#include "item_script.h"

#include <forkfold/error.h>
#include <forkfold/pipeline.h>

/* ---- The page ------------------------------------------------------------ */

enum { WATCHED_BATCHES = 512 };

static struct watch {
    _Atomic unsigned runs[FORKFOLD_STAGES_MAX][WATCHED_BATCHES]; /* of each batch in each stage */
    _Atomic unsigned inside;                                     /* of functions that count */
    _Atomic unsigned most_inside;
    _Atomic unsigned spoilt; /* batches that changed while they were read */
} * watch;

static inline int make_pages(void **state)
{
    watch = mmap(NULL, sizeof(*watch), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return watch == MAP_FAILED || make_script(state);
}

static inline int reset_pages(void **state)
{
    memset((void *)watch, 0, sizeof(*watch));
    return reset_script(state);
}

#define WITH_PAGES(test) cmocka_unit_test_setup(test, reset_pages)

/* ---- Stages by rule ------------------------------------------------------ */

/* How many numbers become of one. */
enum shape { SAME, SOME, TWICE, NONE };

/* The context of a stage. */
struct rule {
    uint64_t add;
    enum shape shape;
    unsigned stage;
    bool suffers; /* here happens what the script has planned */
};

/* Returns how many numbers come out; out may be NULL. */
static inline size_t apply_rule(const struct rule *rule, const uint64_t *in, size_t count,
                                uint64_t *out)
{
    size_t made = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned times = rule->shape == SAME    ? 1
                         : rule->shape == SOME  ? in[i] % 3 != 0
                         : rule->shape == TWICE ? 2
                                                : 0;

        for (unsigned k = 0; k < times; k++, made++)
            if (out != NULL)
                out[made] = mix(in[i]) + rule->add + k;
    }
    return made;
}

static inline int apply_stage(const forkfold_item *item)
{
    const struct rule *rule = item->context;
    const uint64_t *in = item->arguments[0];
    size_t count = item->argument_bytes[0] / sizeof(*in);
    size_t made = apply_rule(rule, in, count, NULL);
    int code;
    uint64_t *out;

    if (item->index < WATCHED_BATCHES)
        watch->runs[rule->stage][item->index]++;
    code = rule->suffers ? suffer(item) : 0;
    if (code != 0 || made == 0)
        return code;
    out = forkfold_item_reserve(item, made * sizeof(*out));
    if (out == NULL)
        return forkfold_item_fail(item, "no room for %zu numbers", made);
    apply_rule(rule, in, count, out);
    return 0;
}

/* Stages of these shapes, one for each letter of s, o, t, n; rules live as long as the options. */
static inline forkfold_pipeline_options rule_options(struct rule *rules, const char *shapes,
                                                     const uint64_t *numbers, uint64_t count)
{
    forkfold_pipeline_options options = {
        .items = numbers, .count = count, .item_bytes = sizeof(*numbers)};

    for (unsigned i = 0; shapes[i] != '\0'; i++) {
        rules[i] = (struct rule){.add = i * 1000 + 1,
                                 .shape = shapes[i] == 's'   ? SAME
                                          : shapes[i] == 'o' ? SOME
                                          : shapes[i] == 't' ? TWICE
                                                             : NONE,
                                 .stage = i};
        options.stages[i] = (forkfold_stage){
            .function = apply_stage, .context = &rules[i], .context_bytes = sizeof(rules[i])};
        options.stage_count = i + 1;
    }
    return options;
}

/* ---- What must come out -------------------------------------------------- */

static inline uint64_t batch_items_of(const forkfold_pipeline_options *options)
{
    return options->batch_items > 0 ? options->batch_items : 250;
}

static inline uint64_t batches_of(const forkfold_pipeline_options *options)
{
    uint64_t each = batch_items_of(options);

    return options->count / each + (options->count % each != 0);
}

static inline void assert_batch(const forkfold_pipeline_options *options,
                                const forkfold_result *result)
{
    uint64_t each = batch_items_of(options);
    uint64_t first = result->index * each;
    size_t count = (size_t)(options->count - first < each ? options->count - first : each);
    uint64_t *in = malloc((count << options->stage_count) * sizeof(*in) + 1);
    uint64_t *out = malloc((count << options->stage_count) * sizeof(*out) + 1);

    assert_true(in != NULL && out != NULL);
    memcpy(in, (const uint64_t *)options->items + first, count * sizeof(*in));
    for (unsigned i = 0; i < options->stage_count; i++) {
        uint64_t *made = out;

        count = apply_rule(options->stages[i].context, in, count, out);
        out = in;
        in = made;
    }
    assert_int_equal(result->bytes, count * sizeof(*in));
    if (count > 0)
        assert_memory_equal(result->data, in, result->bytes);
    free(in);
    free(out);
}

static inline bool has_failed(const forkfold_pipeline *pipeline, unsigned stages, uint64_t batch)
{
    for (unsigned stage = 0; stage < stages; stage++)
        for (size_t i = 0; i < forkfold_pipeline_failure_count(pipeline, stage); i++)
            if (forkfold_pipeline_failure(pipeline, stage, i)->index == batch)
                return true;
    return false;
}

/* Reads a pipeline of rules to its end: each batch once, in order if it has to be.  How many failed. */
static inline uint64_t read_all(forkfold_pool *pool, forkfold_pipeline *pipeline,
                                const forkfold_pipeline_options *options)
{
    unsigned char *seen = calloc(batches_of(options) + 1, 1);
    forkfold_result result;
    uint64_t read = 0;
    uint64_t failed = 0;
    int code;

    assert_non_null(seen);
    while ((code = forkfold_pipeline_next(pipeline, &result)) == 1) {
        assert_true(result.index < batches_of(options));
        assert_int_equal(seen[result.index]++, 0);
        assert_true(options->unordered || result.index == read);
        assert_int_equal(result.failed, has_failed(pipeline, options->stage_count, result.index));
        if (result.failed) {
            assert_null(result.data);
            assert_int_equal(result.bytes, 0);
            failed++;
        } else {
            assert_batch(options, &result);
        }
        read++;
    }
    if (code != 0)
        fail_msg("after %llu batches: %d, %s", (unsigned long long)read, code,
                 forkfold_pool_message(pool));
    assert_int_equal(read, batches_of(options));
    assert_int_equal(forkfold_pipeline_next(pipeline, &result), 0);
    free(seen);
    return failed;
}

/* From begin to end.  How many batches failed. */
static inline uint64_t run_rules(forkfold_pool *pool, const forkfold_pipeline_options *options)
{
    forkfold_pipeline *pipeline = NULL;
    uint64_t failed;

    assert_works(pool, forkfold_pipeline_open(pool, options, &pipeline));
    failed = read_all(pool, pipeline, options);
    forkfold_pipeline_close(pipeline);
    return failed;
}

#endif
