/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jobs/sieve_bits.h"
#include "jobs/sieve_wheel.h"
#include "random_keys.h"

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);

    assert_non_null(memory);
    return memory;
}

enum { ROUNDS = 500, BITS_BYTES = 1000 };

static void make_random_bits(uint8_t *bits, size_t bytes)
{
    unsigned sparse = (unsigned)random_below(4);

    for (size_t i = 0; i < bytes; i++) {
        bits[i] = (uint8_t)random_u64();
        for (unsigned k = 0; k < sparse; k++)
            bits[i] &= (uint8_t)random_u64();
    }
    if (random_below(8) == 0)
        memset(bits, 0xFF, bytes);
}

static void check_lists(const struct ff_sieve_bits *variant, const uint8_t *bits, size_t bytes,
                        uint64_t first)
{
    uint64_t expected[8 * BITS_BYTES];
    size_t count = 0;
    size_t capacity;
    uint32_t *numbers;
    uint64_t *wide;

    for (size_t i = 0; i < 8 * bytes; i++)
        if (bits[i / 8] >> i % 8 & 1)
            expected[count++] = first + i / 8 * FF_WHEEL + ff_wheel_residues[i % 8];
    capacity = random_below(2) == 0 ? count + random_below(200) : random_below(count + 1);
    numbers = allocate(capacity * sizeof(*numbers));
    wide = allocate(capacity * sizeof(*wide));
    assert_int_equal(variant->count(bits, bytes), count);
    assert_int_equal(variant->list_u32(bits, bytes, first, numbers, capacity), count);
    assert_int_equal(variant->list_u64(bits, bytes, first, wide, capacity), count);
    for (size_t i = 0; i < count && i < capacity; i++) {
        assert_int_equal(numbers[i], (uint32_t)expected[i]);
        assert_int_equal(wide[i], expected[i]);
    }
    free(wide);
    free(numbers);
}

static void check_stamp(const struct ff_sieve_bits *variant)
{
    enum { STAMPED_BYTES = 3 * FF_SIEVE_STAMP_BYTES };
    uint8_t random[FF_SIEVE_PATTERNS][STAMPED_BYTES + 64];
    const uint8_t *patterns[FF_SIEVE_PATTERNS];
    uint8_t bits[STAMPED_BYTES];

    for (size_t i = 0; i < FF_SIEVE_PATTERNS; i++) {
        for (size_t k = 0; k < sizeof(random[i]); k++)
            random[i][k] = (uint8_t)(random_u64() % 32 == 0 ? random_u64() : 0xFF);
        patterns[i] = random[i] + random_below(64);
    }
    variant->stamp(bits, patterns, STAMPED_BYTES);
    for (size_t k = 0; k < STAMPED_BYTES; k++) {
        uint8_t all = 0xFF;

        for (size_t i = 0; i < FF_SIEVE_PATTERNS; i++)
            all &= patterns[i][k];
        assert_int_equal(bits[k], all);
    }
}

static void set_bits_become_counts_and_numbers(void **state)
{
    const struct ff_sieve_bits *variants[FF_SIEVE_VARIANTS_MAX];
    size_t count = ff_sieve_bits_variants(variants);

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t bytes = random_below(BITS_BYTES + 1);
        uint8_t *bits = allocate(bytes);
        uint64_t first = random_u64() >> random_below(64);

        make_random_bits(bits, bytes);
        for (size_t i = 0; i < count; i++)
            check_lists(variants[i], bits, bytes, first);
        free(bits);
    }
}

static void stamps_are_what_patterns_have_in_common(void **state)
{
    const struct ff_sieve_bits *variants[FF_SIEVE_VARIANTS_MAX];
    size_t count = ff_sieve_bits_variants(variants);

    (void)state;
    for (size_t i = 0; i < count; i++)
        for (unsigned round = 0; round < ROUNDS; round++)
            check_stamp(variants[i]);
}

static void the_generic_variant_is_always_there(void **state)
{
    const struct ff_sieve_bits *variants[FF_SIEVE_VARIANTS_MAX];
    size_t count = ff_sieve_bits_variants(variants);

    (void)state;
    assert_in_range(count, 1, FF_SIEVE_VARIANTS_MAX);
    assert_string_equal(variants[count - 1]->name, "generic");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_bits_become_counts_and_numbers),
        cmocka_unit_test(stamps_are_what_patterns_have_in_common),
        cmocka_unit_test(the_generic_variant_is_always_there),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
