/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "flow/record.h"
#include "random_keys.h"

/* Memory that ends where it says, so that what is read or written behind it is found. */
static unsigned char *allocate(size_t bytes)
{
    unsigned char *memory = malloc(bytes + (bytes == 0));

    assert_non_null(memory);
    return memory;
}

/* ---- Numbers ------------------------------------------------------------- */

static size_t shortest_length(uint64_t number)
{
    size_t length = 1;

    while (number >>= 7)
        length++;
    return length;
}

/* Takes a number from the first bytes of some, and from nothing but them. */
static const unsigned char *take(const unsigned char *bytes, size_t count, uint64_t *number)
{
    unsigned char *copy = allocate(count);
    const unsigned char *behind;
    size_t taken = count + 1;

    memcpy(copy, bytes, count);
    behind = ff_short_number_take(copy, copy + count, number);
    if (behind != NULL)
        taken = (size_t)(behind - copy);
    free(copy);
    return taken <= count ? bytes + taken : NULL;
}

static void assert_number_comes_back(uint64_t number)
{
    size_t length = shortest_length(number);
    unsigned char *bytes = allocate(length);
    uint64_t got = ~number;
    uint64_t taken = ~number;

    assert_in_range(length, 1, FF_SHORT_NUMBER_MAX);
    assert_ptr_equal(ff_short_number_put(bytes, number), bytes + length);
    assert_ptr_equal(ff_short_number_get(bytes, &got), bytes + length);
    assert_ptr_equal(take(bytes, length, &taken), bytes + length);
    assert_true(got == number && taken == number);
    for (size_t cut = 0; cut < length; cut++)
        assert_null(take(bytes, cut, &taken));
    free(bytes);
}

static void numbers_come_back_from_as_few_bytes_as_hold_them(void **state)
{
    (void)state;
    assert_number_comes_back(0);
    assert_number_comes_back(UINT64_MAX);
    for (unsigned bits = 0; bits < 64; bits++) {
        uint64_t power = UINT64_C(1) << bits;

        assert_number_comes_back(power - 1);
        assert_number_comes_back(power);
        assert_number_comes_back(power + 1);
        for (unsigned i = 0; i < 100; i++)
            assert_number_comes_back(power | random_u64() >> (63 - bits));
    }
    assert_int_equal(shortest_length(UINT64_MAX), FF_SHORT_NUMBER_MAX);
}

/* The same number with zeros on top: a second form of it. */
static void numbers_with_bytes_to_spare_are_refused(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 64; bits++) {
        unsigned char bytes[FF_SHORT_NUMBER_MAX + 2];
        unsigned char *end = ff_short_number_put(bytes, (UINT64_C(1) << bits) - (bits == 0));
        uint64_t number;

        while (end < bytes + sizeof(bytes)) {
            end[-1] |= 0x80;
            *end++ = 0;
            assert_null(take(bytes, (size_t)(end - bytes), &number));
        }
    }
}

static void numbers_past_64_bits_are_refused(void **state)
{
    unsigned char bytes[20];
    uint64_t number;

    (void)state;
    for (unsigned last = 0; last < 256; last++)
        for (unsigned other = 0x80; other < 256; other++) {
            memset(bytes, (int)other, sizeof(bytes));
            bytes[FF_SHORT_NUMBER_MAX - 1] = (unsigned char)last;
            if (last == 1)
                assert_non_null(take(bytes, FF_SHORT_NUMBER_MAX, &number));
            else
                assert_null(take(bytes, FF_SHORT_NUMBER_MAX, &number));
        }
    memset(bytes, 0x80, sizeof(bytes));
    for (size_t count = 0; count < sizeof(bytes); count++) {
        assert_null(take(bytes, count, &number));
        bytes[count] = 1;
        assert_int_equal(take(bytes, count + 1, &number) != NULL, count < FF_SHORT_NUMBER_MAX);
        bytes[count] = 0x80;
    }
}

/* So every number has one form, and all others are refused. */
static void what_is_taken_is_what_would_be_put(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 300000; turn++) {
        /* All of two bytes, and longer ones that do not end soon. */
        uint64_t dice = random_u64();
        unsigned char bytes[12];
        unsigned char again[12];
        uint64_t number;
        const unsigned char *behind;

        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (unsigned char)(random_u64() | (random_below(8) == 0 ? 0 : 0x80));
        if (turn < 1 << 16) {
            bytes[0] = (unsigned char)turn;
            bytes[1] = (unsigned char)(turn >> 8);
        }
        behind = take(bytes, turn < 1 << 16 ? 2 : dice % sizeof(bytes), &number);
        if (behind == NULL)
            continue;
        assert_int_equal(ff_short_number_put(again, number) - again, behind - bytes);
        assert_memory_equal(again, bytes, (size_t)(behind - bytes));
    }
}

/* ---- Records ------------------------------------------------------------- */

static void assert_entry_is(const struct ff_entry *entry, const struct random_key *key)
{
    assert_int_equal(entry->count, key->sum);
    assert_int_equal(entry->key_bytes, key->length);
    assert_memory_equal(entry->key, key->bytes, key->length);
    assert_int_equal(entry->prefix, ff_key_prefix(key->bytes, key->length));
    assert_int_equal(ff_record_hash(entry), ff_key_hash(key->bytes, key->length) >> 32);
}

/* Writes a record in exactly the memory that it may use, from a key in no more than it needs. */
static unsigned char *put_record(const struct random_key *key, size_t *bytes)
{
    size_t readable = key->length < FF_RECORD_SLACK ? FF_RECORD_SLACK : key->length;
    unsigned char *source = allocate(readable);
    unsigned char *record;

    *bytes = shortest_length(key->sum) + shortest_length(key->length) + key->length;
    assert_true(*bytes <= FF_RECORD_HEAD_MAX + key->length);
    record = allocate(*bytes + FF_RECORD_SLACK);
    memset(source, 0xee, readable);
    memcpy(source, key->bytes, key->length);
    assert_ptr_equal(ff_record_put(record, (const char *)source, key->length, key->sum),
                     record + *bytes);
    memset(record + *bytes, 0xff, FF_RECORD_SLACK);
    free(source);
    return record;
}

/* Keys of all short lengths and some long ones, sums of all lengths; what lies behind varies. */
static void records_come_back_and_need_no_more_than_their_slack(void **state)
{
    struct random_keys set = make_random_keys(1000);

    (void)state;
    for (size_t i = 0; i < set.count; i++) {
        struct random_key *key = &set.keys[i];
        size_t bytes;
        unsigned char *record;

        key->sum = random_u64() >> random_below(64) | 1;
        record = put_record(key, &bytes);
        for (unsigned turn = 0; turn < 2; turn++) {
            struct ff_entry entry;

            memset(record + bytes, turn == 0 ? 0 : 0xff, FF_RECORD_SLACK);
            assert_ptr_equal(ff_record_get(record, &entry), record + bytes);
            assert_entry_is(&entry, key);
            assert_ptr_equal(ff_record_take(record, record + bytes, &entry), record + bytes);
            assert_entry_is(&entry, key);
        }
        free(record);
    }
    free_random_keys(&set);
}

/* What follows is as long as the slack, and tempts: it is what was cut off. */
static void record_is_not_taken_from_fewer_bytes(void **state)
{
    struct random_keys set = make_random_keys(300);

    (void)state;
    for (size_t i = 0; i < set.count; i++) {
        struct random_key *key = &set.keys[i];
        size_t bytes;
        unsigned char *record;
        size_t step = key->length / 100 + 1;

        key->sum = random_u64() >> random_below(64) | 1;
        record = put_record(key, &bytes);
        for (size_t cut = 1; cut <= bytes; cut += step) {
            unsigned char *copy = allocate(bytes - cut + FF_RECORD_SLACK);
            struct ff_entry entry;

            memcpy(copy, record, bytes - cut + FF_RECORD_SLACK);
            assert_null(ff_record_take(copy, copy + bytes - cut, &entry));
            free(copy);
        }
        free(record);
    }
    free_random_keys(&set);
}

/* Whatever the bytes, what is taken is a record that would be put so, and lies within the bytes. */
static void any_bytes_are_a_record_in_its_only_form_or_none(void **state)
{
    size_t taken = 0;

    (void)state;
    for (unsigned turn = 0; turn < 200000; turn++) {
        size_t count = random_below(40);
        unsigned char *bytes = allocate(count + FF_RECORD_SLACK);
        unsigned char again[64 + FF_RECORD_SLACK];
        struct ff_entry entry;
        const unsigned char *behind;

        for (size_t i = 0; i < count + FF_RECORD_SLACK; i++)
            bytes[i] = (unsigned char)(random_u64() >> random_below(8) & 0xff);
        behind = ff_record_take(bytes, bytes + count, &entry);
        if (behind != NULL) {
            assert_true(behind <= bytes + count && entry.count > 0);
            assert_ptr_equal(entry.key + entry.key_bytes, behind);
            (void)ff_record_hash(&entry);
            assert_int_equal(ff_record_put(again, entry.key, entry.key_bytes, entry.count) - again,
                             behind - bytes);
            assert_memory_equal(again, bytes, (size_t)(behind - bytes));
            taken++;
        }
        free(bytes);
    }
    assert_true(taken > 1000);
}

/* Lengths of up to 5 bytes, in memory that is never touched where the key is. */
static void longest_key_is_taken_and_no_longer_one(void **state)
{
    const uint64_t longest = FF_KEY_BYTES_MAX;
    const uint64_t lengths[] = {(1 << 21) - 1, 1 << 21, (1 << 28) - 1, 1 << 28, longest};
    size_t room = FF_RECORD_HEAD_MAX + FF_KEY_BYTES_MAX + 1 + FF_RECORD_SLACK;
    unsigned char *record = mmap(NULL, room, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct ff_entry entry;

    (void)state;
    assert_true(record != MAP_FAILED);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        unsigned char *key =
            ff_short_number_put(ff_short_number_put(record, UINT64_MAX), lengths[i]);

        assert_int_equal(key - record, FF_SHORT_NUMBER_MAX + shortest_length(lengths[i]));
        assert_ptr_equal(ff_record_take(record, key + lengths[i], &entry), key + lengths[i]);
        assert_int_equal(entry.key_bytes, lengths[i]);
        assert_ptr_equal(ff_record_get(record, &entry), key + lengths[i]);
        assert_null(ff_record_take(record, key + lengths[i] - 1, &entry));
    }
    (void)ff_short_number_put(ff_short_number_put(record, 1), longest + 1);
    assert_null(ff_record_take(record, record + room - FF_RECORD_SLACK, &entry));
    munmap(record, room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_back_from_as_few_bytes_as_hold_them),
        cmocka_unit_test(numbers_with_bytes_to_spare_are_refused),
        cmocka_unit_test(numbers_past_64_bits_are_refused),
        cmocka_unit_test(what_is_taken_is_what_would_be_put),
        cmocka_unit_test(records_come_back_and_need_no_more_than_their_slack),
        cmocka_unit_test(record_is_not_taken_from_fewer_bytes),
        cmocka_unit_test(any_bytes_are_a_record_in_its_only_form_or_none),
        cmocka_unit_test(longest_key_is_taken_and_no_longer_one),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
