/* SPDX-License-Identifier: Apache-2.0 */
/* Seals and what they cover, with the segments of a pool that no process lives in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pool/coverage.h"
#include "pool/seal.h"

enum { CALL = 3, WORKERS = 2 };

static int open_layout(void **state)
{
    static struct ff_layout layout;

    *state = &layout;
    return ff_layout_open(&layout, WORKERS);
}

static int close_layout(void **state)
{
    ff_layout_close(*state);
    return 0;
}

static void post_tasks(struct ff_layout *layout, uint64_t tasks, uint64_t items_each)
{
    for (int i = 0; i < FF_BOARD_COUNT; i++)
        ff_board_reset(&layout->boards[i]);
    for (uint64_t i = 0; i < tasks; i++)
        assert_true(ff_board_post(&layout->boards[FF_MAIN],
                                  (struct ff_task){.first = i * items_each, .count = items_each},
                                  items_each));
}

static void claim(struct ff_layout *layout, unsigned slot, uint64_t number)
{
    struct ff_segment_areas *areas = &layout->segments[slot];
    uint64_t count = ff_peer_get(&areas->head->claim_count);

    areas->claims[count] = ff_claim_encode(FF_MAIN, number);
    ff_own_set(&areas->head->claim_count, count + 1);
}

static void seal(struct ff_layout *layout, unsigned slot, unsigned buffer, uint64_t covered,
                 const char *text)
{
    struct ff_segment_areas *areas = &layout->segments[slot];
    struct ff_area target = areas->buffers[CALL & 1][buffer];
    struct ff_item_failure failure = {.item = 5, .detail = "no"};
    size_t capacity;
    char *payload = ff_seal_begin(target, &failure, 1, &capacity);

    assert_non_null(payload);
    assert_int_equal((uintptr_t)payload % 64, 0);
    memcpy(payload, text, strlen(text) + 1);
    ff_seal_end(target, CALL, areas->claims, covered, 1, strlen(text));
    ff_own_set(&areas->head->call, CALL);
    ff_publish(&areas->head->sealed, ff_sealed_encode(covered, buffer));
}

static void published_seal_is_found_whole(void **state)
{
    struct ff_layout *layout = *state;
    uint64_t sealed;
    bool damaged;

    post_tasks(layout, 4, 1);
    claim(layout, 0, 0);
    assert_null(ff_seal_find(&layout->segments[0], CALL, &sealed, &damaged));
    assert_false(damaged);
    seal(layout, 0, 1, 1, "payload");
    const struct ff_seal *found = ff_seal_find(&layout->segments[0], CALL, &sealed, &damaged);

    assert_non_null(found);
    assert_int_equal(found->covered, 1);
    assert_int_equal(ff_seal_failures(found)[0].item, 5);
    assert_memory_equal(ff_seal_payload(found), "payload", 7);
}

static void seal_of_another_call_is_damage(void **state)
{
    struct ff_layout *layout = *state;
    uint64_t sealed;
    bool damaged;

    post_tasks(layout, 1, 1);
    claim(layout, 0, 0);
    seal(layout, 0, 0, 1, "x");
    assert_null(ff_seal_find(&layout->segments[0], CALL + 2, &sealed, &damaged));
    assert_true(damaged);
}

/* Every byte of the seal and of the claims it covers: a change is noticed. */
static void every_changed_byte_is_damage(void **state)
{
    struct ff_layout *layout = *state;
    struct ff_segment_areas *areas = &layout->segments[0];
    uint64_t sealed;
    bool damaged;

    post_tasks(layout, 2, 1);
    claim(layout, 0, 0);
    claim(layout, 0, 1);
    seal(layout, 0, 0, 2, "payload");
    const struct ff_seal *found = ff_seal_find(areas, CALL, &sealed, &damaged);
    size_t bytes = found->payload_offset + found->payload_bytes;

    for (size_t i = 0; i < bytes; i++) {
        ((char *)found)[i] ^= 0x10;
        assert_null(ff_seal_find(areas, CALL, &sealed, &damaged));
        assert_true(damaged);
        ((char *)found)[i] ^= 0x10;
    }
    areas->claims[1] ^= 1;
    assert_null(ff_seal_find(areas, CALL, &sealed, &damaged));
    assert_true(damaged);
}

static void garbage_in_the_publishing_word_is_damage(void **state)
{
    struct ff_layout *layout = *state;
    uint64_t sealed;
    bool damaged;

    post_tasks(layout, 1, 1);
    claim(layout, 0, 0);
    seal(layout, 0, 0, 1, "x");
    ff_publish(&layout->segments[0].head->sealed, UINT64_MAX);
    assert_null(ff_seal_find(&layout->segments[0], CALL, &sealed, &damaged));
    assert_true(damaged);
}

static void too_many_failures_for_the_buffer_are_refused(void **state)
{
    static struct ff_item_failure failures[3];
    static char bytes[256];
    size_t capacity;

    (void)state;
    assert_null(ff_seal_begin((struct ff_area){.base = bytes, .bytes = sizeof(bytes)}, failures, 3,
                              &capacity));
}

static void coverage_finds_what_is_missing(void **state)
{
    struct ff_layout *layout = *state;
    struct ff_coverage coverage;
    struct ff_task missing;
    uint64_t from = 0;

    post_tasks(layout, 5, 10);
    claim(layout, 0, 0);
    claim(layout, 0, 3);
    seal(layout, 0, 0, 2, "x");
    claim(layout, 1, 4);
    claim(layout, 1, 2); /* claimed, not sealed */
    seal(layout, 1, 0, 1, "y");
    assert_int_equal(ff_coverage_open(&coverage, layout, CALL), 0);
    assert_int_equal(coverage.items, 50);
    assert_int_equal(coverage.counted, 30);
    assert_int_equal(coverage.doubled, 0);
    assert_false(coverage.damaged);
    assert_true(ff_coverage_next_missing(&coverage, &from, &missing));
    assert_int_equal(missing.first, 10);
    assert_int_equal(missing.count, 20);
    assert_false(ff_coverage_next_missing(&coverage, &from, &missing));
    ff_coverage_close(&coverage);
}

static void coverage_counts_quarantined_items_and_notices_doubles(void **state)
{
    struct ff_layout *layout = *state;
    struct ff_coverage coverage;

    post_tasks(layout, 3, 1);
    claim(layout, 0, 0);
    claim(layout, 0, 1);
    seal(layout, 0, 0, 2, "x");
    claim(layout, 1, 1);
    seal(layout, 1, 0, 1, "y");
    layout->quarantine[0].item = 2;
    ff_publish(&layout->supervisor->quarantined, 1);
    assert_int_equal(ff_coverage_open(&coverage, layout, CALL), 0);
    assert_int_equal(coverage.counted, 3);
    assert_int_equal(coverage.doubled, 1);
    ff_coverage_close(&coverage);
}

static void coverage_reports_a_log_that_names_no_task(void **state)
{
    struct ff_layout *layout = *state;
    struct ff_coverage coverage;

    post_tasks(layout, 1, 1);
    claim(layout, 0, 77);
    seal(layout, 0, 0, 1, "x");
    assert_int_equal(ff_coverage_open(&coverage, layout, CALL), 0);
    assert_true(coverage.damaged);
    ff_coverage_close(&coverage);
}

static void segment_of_another_call_covers_nothing(void **state)
{
    struct ff_layout *layout = *state;
    struct ff_coverage coverage;

    post_tasks(layout, 1, 1);
    claim(layout, 0, 0);
    seal(layout, 0, 0, 1, "x");
    assert_int_equal(ff_coverage_open(&coverage, layout, CALL + 1), 0);
    assert_int_equal(coverage.counted, 0);
    assert_false(coverage.damaged);
    ff_coverage_close(&coverage);
}

#define WITH_LAYOUT(test) cmocka_unit_test_setup_teardown(test, open_layout, close_layout)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LAYOUT(published_seal_is_found_whole),
        WITH_LAYOUT(seal_of_another_call_is_damage),
        WITH_LAYOUT(every_changed_byte_is_damage),
        WITH_LAYOUT(garbage_in_the_publishing_word_is_damage),
        cmocka_unit_test(too_many_failures_for_the_buffer_are_refused),
        WITH_LAYOUT(coverage_finds_what_is_missing),
        WITH_LAYOUT(coverage_counts_quarantined_items_and_notices_doubles),
        WITH_LAYOUT(coverage_reports_a_log_that_names_no_task),
        WITH_LAYOUT(segment_of_another_call_covers_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
