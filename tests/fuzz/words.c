/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding and tokenising: the word kernel, fed in any blocks, counts what the
 * naive reference counts, and names the same first error.
 */
#include "../unit/naive_words.h"
#include "fuzz.h"

/* Feeds all of the text.  Returns false, with *error in the text, where it is ill-formed. */
static bool feed_text(struct ff_word_kernel *kernel, struct ff_table *table, struct fuzz_text *text,
                      struct ff_utf8_error *error)
{
    size_t from = 0;
    size_t end = 0;
    bool last = false;

    while (!last) {
        size_t consumed = SIZE_MAX;

        /* The end may be known with the last bytes, or only after them. */
        last = end == text->count;
        if (!last) {
            end = next_block(text, end, text->count);
            last = end == text->count && (text->dice >> 31) != 0;
        }

        unsigned char *block = copy_exactly(text->bytes + from, end - from);
        int code = ff_word_kernel_feed(kernel, table, block, end - from, last, &consumed, error);

        free(block);
        if (code == FF_WORDS_ILL_FORMED) {
            error->offset += from;
            return false;
        }
        REQUIRE(code == 0);
        REQUIRE(consumed <= end - from);
        REQUIRE(end - from - consumed <= (last ? 0 : 3));
        from += consumed;
    }
    REQUIRE(ff_word_kernel_end(kernel, table) == 0);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.bytes = data, .count = size};
    struct fuzz_text text = take_text(&input);
    struct ff_utf8_error expected_error = {0};
    struct ff_utf8_error error = {0};
    bool is_valid = naive_validate(text.bytes, text.count, &expected_error);
    struct ff_word_kernel kernel;
    struct ff_table expected = {0};
    struct ff_table table = {0};

    REQUIRE(ff_utf8_validate(text.bytes, text.count, &error) == is_valid);
    REQUIRE(error.offset == expected_error.offset && error.kind == expected_error.kind);
    ff_word_kernel_init(&kernel, text.rule, text.invalid);
    kernel.variant = text.variant;
    kernel.is_validated = is_valid && text.is_vouched_for;
    ff_word_kernel_start(&kernel, false);
    if (is_valid || text.invalid == FORKFOLD_INVALID_REPLACE) {
        REQUIRE(feed_text(&kernel, &table, &text, &error));
        REQUIRE(naive_count(text.bytes, text.count, text.rule, &expected) == 0);
        require_same_words(&table, &expected);
    } else {
        error = (struct ff_utf8_error){0};
        REQUIRE(!feed_text(&kernel, &table, &text, &error));
        REQUIRE(error.offset == expected_error.offset && error.kind == expected_error.kind);
    }
    ff_word_kernel_free(&kernel);
    ff_table_free(&expected);
    ff_table_free(&table);
    free(text.bytes);
    return 0;
}
