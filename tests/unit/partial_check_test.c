/* SPDX-License-Identifier: Apache-2.0 */
/* What ff_partial_is_sound finds in partials whose bytes may be anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory_partials.h"

/* Keys of 0 to 69 bytes with counts of one and two, in several cells. */
static struct ff_partial *write_small_partial(void)
{
    struct ff_table table = {0};
    struct ff_partial *partial;
    char key[70];

    for (size_t length = 0; length < sizeof(key); length++) {
        memset(key, 'a' + (int)length % 26, sizeof(key));
        assert_int_equal(ff_table_add(&table, key, length, 1 + length * 3), 0);
    }
    partial = write_partial(&table);
    assert_int_equal(partial->cell_bits, 2);
    ff_table_free(&table);
    return partial;
}

static struct ff_partial_cell *cells_of(struct ff_partial *partial)
{
    return (struct ff_partial_cell *)(partial + 1);
}

/* What is called sound can be read, whatever the bytes are, and is what would be written. */
static bool is_readable_if_sound(const struct ff_partial *partial, size_t room)
{
    struct ff_table into = {0};
    struct ff_partial *again;

    if (!ff_partial_is_sound(partial, room))
        return false;
    assert_true(partial->bytes <= room);
    assert_strictly_ordered(partial);
    assert_int_equal(ff_partial_add_to(partial, &into), 0);
    assert_int_equal(into.total, partial->total);
    again = write_partial(&into);
    assert_int_equal(again->bytes, partial->bytes);
    assert_memory_equal(again, partial, partial->bytes);
    free(again);
    ff_table_free(&into);
    return true;
}

/* Only a flip within a key may make another partial that is sound. */
static void every_flipped_bit_is_found_or_makes_another_key(void **state)
{
    struct ff_partial *partial = write_small_partial();
    struct ff_partial *flipped = copy_exactly(partial, partial->bytes);
    unsigned char *bytes = (unsigned char *)flipped;
    struct place *places = read_places(partial);
    size_t place = 0;

    (void)state;
    for (size_t at = 0; at < partial->bytes; at++) {
        const unsigned char *byte = (const unsigned char *)partial + at;

        while (place + 1 < partial->entry_count && byte >= places[place + 1].record)
            place++;
        for (unsigned bit = 0; bit < 8; bit++) {
            const char *key = places[place].entry.key;

            bytes[at] ^= (unsigned char)(1U << bit);
            if (is_readable_if_sound(flipped, partial->bytes) &&
                ((const char *)byte < key ||
                 (const char *)byte >= key + places[place].entry.key_bytes))
                fail_msg("bit %u of byte %zu", bit, at);
            bytes[at] = *byte;
        }
    }
    free(places);
    free(flipped);
    free(partial);
}

/* There is room behind the partial, so that sizes are wrong for what they say alone. */
static void every_other_word_in_header_or_cells_is_found(void **state)
{
    struct ff_partial *partial = write_small_partial();
    size_t room = partial->bytes + 64;
    struct ff_partial *changed = calloc(1, room);
    uint64_t *words = (uint64_t *)changed;
    size_t word_count =
        (size_t)(ff_partial_records(partial) - (const unsigned char *)partial) / sizeof(*words);

    (void)state;
    assert_non_null(changed);
    memcpy(changed, partial, partial->bytes);
    assert_true(ff_partial_is_sound(changed, room));
    for (size_t i = 0; i < word_count; i++) {
        uint64_t right = words[i];
        const uint64_t others[] = {0,
                                   1,
                                   INT64_MAX,
                                   UINT32_MAX,
                                   UINT64_MAX,
                                   UINT64_MAX - 63,
                                   UINT64_C(1) << 59,
                                   right + 1,
                                   right - 1,
                                   right + 64,
                                   right - 64,
                                   right * 2,
                                   right + (UINT64_C(1) << 59),
                                   right + (UINT64_C(1) << 32)};

        for (size_t other = 0; other < sizeof(others) / sizeof(*others); other++) {
            words[i] = others[other];
            if (ff_partial_is_sound(changed, room) != (words[i] == right))
                fail_msg("word %zu is %llu", i, (unsigned long long)words[i]);
        }
        words[i] = right;
    }
    free(changed);
    free(partial);
}

static void cell_that_begins_at_another_record_is_found(void **state)
{
    struct ff_partial *partial = write_small_partial();
    const unsigned char *records = ff_partial_records(partial);
    struct place *places = read_places(partial);

    (void)state;
    for (size_t c = 0; c <= 4; c++) {
        struct ff_partial_cell right = cells_of(partial)[c];

        for (size_t number = 0; number <= partial->entry_count; number++) {
            cells_of(partial)[c].offset = (uint64_t)(places[number].record - records);
            cells_of(partial)[c].number = number;
            assert_int_equal(ff_partial_is_sound(partial, partial->bytes), number == right.number);
        }
        cells_of(partial)[c] = right;
    }
    free(places);
    free(partial);
}

/* A partial whose header and cells are right if all records are sound and in the first cell. */
static struct ff_partial *forge_partial(const void *records, size_t record_bytes,
                                        uint64_t entry_count, uint64_t total, unsigned cell_bits)
{
    size_t cells = ((size_t)1 << cell_bits) + 1;
    size_t used = sizeof(struct ff_partial) + cells * sizeof(struct ff_partial_cell) + record_bytes;
    size_t bytes = (used + FF_RECORD_SLACK + 63) / 64 * 64;
    struct ff_partial *partial = calloc(1, bytes);

    assert_non_null(partial);
    *partial = (struct ff_partial){.magic = FF_PARTIAL_MAGIC,
                                   .bytes = bytes,
                                   .entry_count = entry_count,
                                   .record_bytes = record_bytes,
                                   .total = total,
                                   .cell_bits = cell_bits};
    for (size_t c = 1; c < cells; c++)
        cells_of(partial)[c] =
            (struct ff_partial_cell){.offset = record_bytes, .number = entry_count};
    memcpy((char *)partial + used - record_bytes, records, record_bytes);
    return partial;
}

static void assert_forged(const void *records, size_t record_bytes, uint64_t entry_count,
                          uint64_t total, unsigned cell_bits, bool is_sound)
{
    struct ff_partial *partial =
        forge_partial(records, record_bytes, entry_count, total, cell_bits);

    assert_int_equal(is_readable_if_sound(partial, partial->bytes), is_sound);
    free(partial);
}

/* Records that no writer would write. */
struct nonsense {
    const char *records;
    size_t record_bytes;
    uint64_t entry_count;
    uint64_t total;
};

#define NONSENSE(text, count, sum)                                                                 \
    {                                                                                              \
        .records = (text), .record_bytes = sizeof(text) - 1, .entry_count = (count),               \
        .total = (sum)                                                                             \
    }

static const struct nonsense all_nonsense[] = {
    NONSENSE("\1\1a", 1, 2),
    NONSENSE("\1\1a", 0, 0),
    NONSENSE("\1\1a", 2, 1),
    NONSENSE("\1\1a\0", 1, 1),
    NONSENSE("\1\1a\1\1b", 1, 1),
    NONSENSE("", 1, 0),
    NONSENSE("\1", 1, 1),
    NONSENSE("\x81", 1, 1),
    NONSENSE("\1\x81", 1, 1),
    NONSENSE("\1\2a", 1, 1),
    NONSENSE("\0\1a", 1, 0),
    NONSENSE("\x81\0\1a", 1, 1),
    NONSENSE("\1\x81\0a", 1, 1),
    NONSENSE("\1\x80\0", 1, 1),
    NONSENSE("\x81\x80\x80\x80\x80\x80\x80\x80\x80\0\1a", 1, 1),
    NONSENSE("\x81\x80\x80\x80\x80\x80\x80\x80\x80\2\1a", 1, 1),
    NONSENSE("\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80\0\1a", 1, 1),
    NONSENSE("\1\xff\xff\xff\xff\x0f\x61", 1, 1),
    NONSENSE("\1\x80\x80\x80\x80\x10\x61", 1, 1),
    NONSENSE("\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1a", 1, 1),
    NONSENSE("\1\1a\1\1a", 2, 2),
};

static void nonsense_in_records_is_found(void **state)
{
    (void)state;
    assert_forged("\1\1a", 3, 1, 1, 0, true);
    for (size_t i = 0; i < sizeof(all_nonsense) / sizeof(*all_nonsense); i++)
        assert_forged(all_nonsense[i].records, all_nonsense[i].record_bytes,
                      all_nonsense[i].entry_count, all_nonsense[i].total, 0, false);
}

static void number_of_cells_follows_from_that_of_entries(void **state)
{
    struct ff_partial *partial = write_small_partial();

    (void)state;
    assert_forged("", 0, 0, 0, 0, true);
    for (unsigned cell_bits = 1; cell_bits < 8; cell_bits++)
        assert_forged("", 0, 0, 0, cell_bits, false);
    assert_forged(ff_partial_records(partial), partial->record_bytes, partial->entry_count,
                  partial->total, 0, false);
    free(partial);
}

/* Two records, the first with a count of 2. */
static void assert_pair(const struct chosen_key *first, const struct chosen_key *second,
                        uint64_t count, bool is_sound)
{
    unsigned char records[64 + FF_RECORD_SLACK];
    unsigned char *end = ff_record_put(records, (const char *)first->words, first->length, 2);

    end = ff_record_put(end, (const char *)second->words, second->length, count);
    assert_forged(records, (size_t)(end - records), 2, 2 + count, 0, is_sound);
}

/* Only this order is right, each key once, and with a total that fits 64 bits. */
static void assert_order_is_checked(struct chosen_key before, struct chosen_key after)
{
    assert_pair(&before, &after, UINT64_MAX - 2, true);
    assert_pair(&before, &after, UINT64_MAX - 1, false);
    assert_pair(&before, &before, 1, false);
    assert_pair(&after, &after, 1, false);
    assert_pair(&after, &before, 1, false);
}

static void records_out_of_order_are_found(void **state)
{
    struct chosen_key least = choose_key(7, 1);
    struct chosen_key middle = choose_key(7, 2);

    (void)state;
    if (memcmp(least.words, middle.words, sizeof(least.words)) > 0) {
        least = choose_key(7, 2);
        middle = choose_key(7, 1);
    }
    assert_order_is_checked(least, middle);
    assert_order_is_checked(least, choose_key(8, 0));
    assert_order_is_checked(middle, choose_key(8, 0));
    assert_order_is_checked(choose_twin(false), choose_twin(true));
    assert_order_is_checked(choose_last_byte(127), choose_last_byte(128));
}

static void truncated_partial_is_not_sound(void **state)
{
    struct ff_partial *partial = write_small_partial();

    (void)state;
    for (size_t room = 0; room < partial->bytes; room++) {
        struct ff_partial *part = copy_exactly(partial, room);

        assert_false(ff_partial_is_sound(part, room));
        free(part);
    }
    free(partial);
}

static void misaligned_partial_is_not_sound(void **state)
{
    struct ff_partial *partial = write_small_partial();
    char *moved = malloc(partial->bytes + 8);

    (void)state;
    assert_non_null(moved);
    for (size_t by = 1; by < 8; by++) {
        memcpy(moved + by, partial, partial->bytes);
        assert_false(ff_partial_is_sound((const void *)(moved + by), partial->bytes));
    }
    free(moved);
    free(partial);
}

/* Flips a few bits, most often in the header or the cells, where the structure is. */
static void flip_bits(unsigned char *bytes, size_t count)
{
    size_t area = random_below(3) == 0 ? count : random_below(2) == 0 ? 64 : 256;

    if (area > count)
        area = count;
    for (size_t flips = 1 + random_below(4); flips > 0; flips--)
        bytes[random_below(area)] ^= (unsigned char)(1U << random_below(8));
}

/* Overwrites some aligned word with one of the values that break arithmetic. */
static void plant_extreme(unsigned char *bytes, size_t count)
{
    const uint64_t extremes[] = {0,         1,          UINT64_MAX,        UINT64_MAX - 63,
                                 INT64_MAX, UINT32_MAX, UINT64_C(1) << 59, count};
    size_t area = random_below(2) == 0 ? 64 : count < 256 ? count : 256;

    memcpy(bytes + random_below(area / 8) * 8, &extremes[random_below(8)], 8);
}

static void damaged_partial_never_crashes_the_check(void **state)
{
    struct random_keys set = make_random_keys(40);
    struct ff_table table = make_random_table(&set);
    struct ff_partial *partials[2] = {write_small_partial(), write_partial(&table)};

    (void)state;
    for (unsigned turn = 0; turn < 40000; turn++) {
        const struct ff_partial *partial = partials[turn % 64 == 0];
        size_t room = random_below(4) == 0 ? random_below(partial->bytes + 1) : partial->bytes;
        struct ff_partial *copy = copy_exactly(partial, room);

        if (room >= 64 && random_below(2) == 0)
            plant_extreme((unsigned char *)copy, room);
        if (room > 0 && random_below(3) > 0)
            flip_bits((unsigned char *)copy, room);
        (void)is_readable_if_sound(copy, room);
        free(copy);
    }
    free(partials[0]);
    free(partials[1]);
    ff_table_free(&table);
    free_random_keys(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_bit_is_found_or_makes_another_key),
        cmocka_unit_test(every_other_word_in_header_or_cells_is_found),
        cmocka_unit_test(cell_that_begins_at_another_record_is_found),
        cmocka_unit_test(nonsense_in_records_is_found),
        cmocka_unit_test(number_of_cells_follows_from_that_of_entries),
        cmocka_unit_test(records_out_of_order_are_found),
        cmocka_unit_test(truncated_partial_is_not_sound),
        cmocka_unit_test(misaligned_partial_is_not_sound),
        cmocka_unit_test(damaged_partial_never_crashes_the_check),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
