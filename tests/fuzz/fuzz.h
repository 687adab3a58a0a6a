/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets have in common.  A target is one function, called with
 * any bytes: by libFuzzer, or by replay.c.  It ends the process when something
 * is wrong, and leaves nothing behind otherwise.
 */
#ifndef FF_TESTS_FUZZ_H
#define FF_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/word_kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- Taking an input apart ------------------------------------------------ */

struct fuzz_input {
    const uint8_t *bytes;
    size_t count; /* left */
};

/* The next byte, or 0 after the last. */
static inline unsigned take_byte(struct fuzz_input *input)
{
    if (input->count == 0)
        return 0;
    input->count--;
    return *input->bytes++;
}

static inline unsigned take_two_bytes(struct fuzz_input *input)
{
    unsigned high = take_byte(input);

    return high << 8 | take_byte(input);
}

/* A copy that ends where its memory does, so that a sanitizer sees reads past it. */
static inline unsigned char *copy_exactly(const unsigned char *bytes, size_t count)
{
    unsigned char *copy = malloc(count > 0 ? count : 1);

    REQUIRE(copy != NULL);
    if (count > 0)
        memcpy(copy, bytes, count);
    return copy;
}

/* ---- Texts --------------------------------------------------------------- */

/* How a text is to be counted, and in blocks of which sizes. */
struct fuzz_text {
    enum forkfold_word_rule rule;
    enum forkfold_invalid invalid;
    const struct ff_scan_variant *variant;
    bool is_vouched_for; /* where it is well-formed, the kernel is told so */
    unsigned block_bits; /* blocks of up to so many bits of bytes */
    uint32_t dice;
    unsigned char *bytes;
    size_t count;
};

/*
 * The first three bytes say how, the rest is the text.  It is repeated up to
 * eight times, so that short inputs fill several chunks of the fast path.
 */
static inline struct fuzz_text take_text(struct fuzz_input *input)
{
    size_t variant_count;
    const struct ff_scan_variant *variants = ff_scan_variants(&variant_count);
    unsigned how = take_byte(input);
    unsigned repeats = 1 + (how >> 5);
    struct fuzz_text text = {.rule = how & 1 ? FORKFOLD_PLAIN : FORKFOLD_LETTERS,
                             .invalid = how & 2 ? FORKFOLD_INVALID_REPLACE : FORKFOLD_INVALID_FAIL,
                             .variant = &variants[(how >> 2 & 3) % variant_count],
                             .is_vouched_for = how >> 4 & 1,
                             .block_bits = take_byte(input) % 16,
                             .dice = take_byte(input)};

    text.bytes = malloc(repeats * input->count + 1);
    REQUIRE(text.bytes != NULL);
    for (unsigned i = 0; i < repeats && input->count > 0; i++)
        memcpy(text.bytes + i * input->count, input->bytes, input->count);
    text.count = repeats * input->count;
    return text;
}

/* Where the block that starts at from ends: after at least one byte, at most at limit. */
static inline size_t next_block(struct fuzz_text *text, size_t from, size_t limit)
{
    text->dice = text->dice * UINT32_C(1664525) + UINT32_C(1013904223);

    size_t step = 1 + ((text->dice >> 8) & ((1U << text->block_bits) - 1));

    return step < limit - from ? from + step : limit;
}

static inline void require_same_words(const struct ff_table *table, const struct ff_table *expected)
{
    REQUIRE(table->used == expected->used);
    REQUIRE(table->total == expected->total);
    for (size_t i = 0; i < expected->slot_count; i++) {
        const struct ff_slot *slot = &expected->slots[i];

        if (slot->tally != 0)
            REQUIRE(ff_table_get(table, ff_slot_key(slot, expected->heap),
                                 ff_slot_key_bytes(slot, expected->heap)) ==
                    ff_slot_sum(slot, expected->heap));
    }
}

#endif
