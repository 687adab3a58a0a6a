/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splitting: a text cut into pieces of any size, which are counted each for
 * itself, gives the words of the whole, and its first error.
 */
#include "../unit/naive_words.h"
#include "fuzz.h"

/* What a piece looks at around the position that arithmetic gave, as the word job does. */
enum { EDGE_BEFORE = 8, EDGE_AFTER = 4, PIECES_MAX = 4096 };

/* Where a piece really starts or ends, found in those bytes alone. */
static size_t find_edge(const struct fuzz_text *text, size_t position, bool *inside)
{
    size_t from = position > EDGE_BEFORE ? position - EDGE_BEFORE : 0;
    size_t to = text->count - position > EDGE_AFTER ? position + EDGE_AFTER : text->count;
    unsigned char *around = copy_exactly(text->bytes + from, to - from);
    size_t boundary = ff_utf8_boundary(around, to - from, position - from);

    *inside = false;
    if (boundary > 0) {
        size_t before = ff_utf8_before(around, boundary);

        *inside =
            !ff_unicode_is_space(ff_utf8_decode(around + before, boundary - before).code_point);
    }
    free(around);
    return from + boundary;
}

/* Feeds a piece in blocks.  False, with *error in the text, where it is ill-formed. */
static bool feed_piece(struct ff_word_kernel *kernel, struct ff_table *table,
                       struct fuzz_text *text, size_t start, size_t end,
                       struct ff_utf8_error *error)
{
    size_t block_end = start;

    while (start < end) {
        size_t consumed = SIZE_MAX;

        block_end = next_block(text, block_end, end);

        unsigned char *block = copy_exactly(text->bytes + start, block_end - start);
        int code = ff_word_kernel_feed(kernel, table, block, block_end - start, block_end == end,
                                       &consumed, error);

        free(block);
        if (code == FF_WORDS_ILL_FORMED) {
            error->offset += start;
            /* What only looks cut off by the end of the piece is told by the bytes behind it. */
            error->kind =
                ff_utf8_decode(text->bytes + error->offset, text->count - error->offset).kind;
            return false;
        }
        REQUIRE(code == 0);
        REQUIRE(consumed <= block_end - start);
        start += consumed;
    }
    return true;
}

/* Ends the token that the piece ends in, from what follows, in blocks. */
static void finish_token(struct ff_word_kernel *kernel, struct ff_table *table,
                         struct fuzz_text *text, size_t start)
{
    bool ended = !kernel->in_token || kernel->skipping;
    size_t block_end = start;

    while (!ended && start < text->count) {
        size_t consumed = SIZE_MAX;

        block_end = next_block(text, block_end, text->count);

        unsigned char *block = copy_exactly(text->bytes + start, block_end - start);
        int code = ff_word_kernel_finish(kernel, table, block, block_end - start,
                                         block_end == text->count, &consumed, &ended);

        free(block);
        REQUIRE(code == 0);
        REQUIRE(consumed <= block_end - start);
        start += consumed;
    }
    REQUIRE(ff_word_kernel_end(kernel, table) == 0);
}

/* Counts all pieces into the table.  False, with the first *error, if one is ill-formed. */
static bool count_pieces(struct ff_word_kernel *kernel, struct ff_table *table,
                         struct fuzz_text *text, size_t piece_bytes, struct ff_utf8_error *first)
{
    bool is_good = true;

    for (size_t at = 0; at < text->count; at += piece_bytes) {
        size_t to = text->count - at > piece_bytes ? at + piece_bytes : text->count;
        struct ff_utf8_error error;
        bool inside;
        bool ignored;
        size_t start = find_edge(text, at, &inside);
        size_t end = find_edge(text, to, &ignored);

        REQUIRE(at <= start && start <= end && end <= text->count);
        ff_word_kernel_start(kernel, inside);
        if (feed_piece(kernel, table, text, start, end, &error)) {
            finish_token(kernel, table, text, end);
        } else if (is_good || error.offset < first->offset) {
            *first = error;
            is_good = false;
        }
    }
    return is_good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.bytes = data, .count = size};
    size_t piece_bytes = 1 + take_two_bytes(&input);
    struct fuzz_text text = take_text(&input);
    struct ff_utf8_error expected_error;
    struct ff_utf8_error error;
    struct ff_word_kernel kernel;
    struct ff_table expected = {0};
    struct ff_table table = {0};

    if (piece_bytes < text.count / PIECES_MAX)
        piece_bytes = text.count / PIECES_MAX;
    ff_word_kernel_init(&kernel, text.rule, text.invalid);
    kernel.variant = text.variant;
    if (text.invalid == FORKFOLD_INVALID_REPLACE ||
        naive_validate(text.bytes, text.count, &expected_error)) {
        REQUIRE(count_pieces(&kernel, &table, &text, piece_bytes, &error));
        REQUIRE(naive_count(text.bytes, text.count, text.rule, &expected) == 0);
        require_same_words(&table, &expected);
    } else {
        REQUIRE(!count_pieces(&kernel, &table, &text, piece_bytes, &error));
        REQUIRE(error.offset == expected_error.offset && error.kind == expected_error.kind);
    }
    ff_word_kernel_free(&kernel);
    ff_table_free(&expected);
    ff_table_free(&table);
    free(text.bytes);
    return 0;
}
