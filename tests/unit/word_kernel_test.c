/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <forkfold/error.h>
#include <forkfold/version.h>

#include "failing_alloc.h"
#include "jobs/unicode_tables.h"
#include "jobs/word_kernel.h"
#include "naive_words.h"
#include "random_keys.h"

enum { ROUNDS = 20000, PIECES_MAX = 6, TEXT_BYTES_MAX = 40000 };

#define NO_ERROR SIZE_MAX

struct text {
    unsigned char bytes[TEXT_BYTES_MAX];
    size_t count;
};

struct counter {
    struct ff_word_kernel kernel;
    struct ff_table table;
};

/* Every counter uses another variant of the fast path than the one before. */
static void open_counter(struct counter *counter, enum forkfold_word_rule rule,
                         enum forkfold_invalid invalid)
{
    static size_t opened;
    size_t count;
    const struct ff_scan_variant *variants = ff_scan_variants(&count);

    ff_word_kernel_init(&counter->kernel, rule, invalid);
    counter->kernel.variant = &variants[opened++ % count];
    ff_table_init(&counter->table);
    ff_word_kernel_start(&counter->kernel, false);
}

static void close_counter(struct counter *counter)
{
    ff_word_kernel_free(&counter->kernel);
    ff_table_free(&counter->table);
}

/* Feeds all of a string at once and ends the text. */
static void count_string(struct counter *counter, const char *string)
{
    size_t count = strlen(string);
    size_t consumed = 0;
    struct ff_utf8_error bad;

    assert_int_equal(ff_word_kernel_feed(&counter->kernel, &counter->table,
                                         (const unsigned char *)string, count, true, &consumed,
                                         &bad),
                     0);
    assert_int_equal(consumed, count);
    assert_int_equal(ff_word_kernel_end(&counter->kernel, &counter->table), 0);
}

static void assert_word(const struct counter *counter, const char *word, uint64_t count)
{
    assert_int_equal(ff_table_get(&counter->table, word, strlen(word)), count);
}

static void assert_same_words(const struct ff_table *table, const struct ff_table *expected)
{
    assert_int_equal(table->used, expected->used);
    assert_int_equal(table->total, expected->total);
    for (size_t i = 0; i < expected->slot_count; i++) {
        const struct ff_slot *slot = &expected->slots[i];

        if (slot->tally != 0)
            assert_int_equal(ff_table_get(table, ff_slot_key(slot, expected->heap),
                                          ff_slot_key_bytes(slot, expected->heap)),
                             ff_slot_sum(slot, expected->heap));
    }
}

static void words_follow_the_rule(void **state)
{
    static const struct {
        enum forkfold_word_rule rule;
        const char *text;
        const char *words[4]; /* each occurs once, and no other does */
    } cases[] = {
        {FORKFOLD_LETTERS, "", {NULL}},
        {FORKFOLD_LETTERS, " \t\r\n", {NULL}},
        {FORKFOLD_LETTERS, "The end.", {"the", "end"}},
        {FORKFOLD_LETTERS, "it's e-mail 42 x2y", {"its", "email", "xy"}},
        {FORKFOLD_LETTERS,
         "a\x1C"
         "b\x1F"
         "c\x0B"
         "d",
         {"a", "b", "c", "d"}},
        {FORKFOLD_LETTERS,
         "a\u3000b\xC2\x85"
         "c\u2028d",
         {"a", "b", "c", "d"}},
        {FORKFOLD_LETTERS, "a\u200Bb\uFEFFc", {"abc"}},
        /* Lower-casing comes after the filter, and the mark that it makes stays. */
        {FORKFOLD_LETTERS, "\u0130 i\u0307", {"i\u0307", "i"}},
        {FORKFOLD_LETTERS, "\u2160 \u24B6 \u0345", {NULL}},
        /* No final sigma: characters are lower-cased one by one. */
        {FORKFOLD_LETTERS, "\u039F\u03A3", {"\u03BF\u03C3"}},
        /* Mappings that change the length in UTF-8. */
        {FORKFOLD_LETTERS, "\u212A \u023A \u1E9E", {"k", "\u2C65", "\u00DF"}},
        {FORKFOLD_LETTERS, "\U00010400\uFFFD", {"\U00010428"}},
        {FORKFOLD_PLAIN, "The end.\u00A042", {"The", "end.", "42"}},
        {FORKFOLD_PLAIN, "\uFEFF\u0130\u3000\u200B", {"\uFEFF\u0130", "\u200B"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct counter counter;
        size_t count = 0;

        open_counter(&counter, cases[i].rule, FORKFOLD_INVALID_FAIL);
        count_string(&counter, cases[i].text);
        for (; count < 4 && cases[i].words[count]; count++)
            assert_word(&counter, cases[i].words[count], 1);
        assert_int_equal(counter.table.total, count);
        close_counter(&counter);
    }
}

static void nul_is_an_ordinary_character(void **state)
{
    static const unsigned char text[] = "a\0b c";
    struct counter counter;
    struct ff_utf8_error bad;
    size_t consumed;

    (void)state;
    open_counter(&counter, FORKFOLD_PLAIN, FORKFOLD_INVALID_FAIL);
    assert_int_equal(
        ff_word_kernel_feed(&counter.kernel, &counter.table, text, 5, true, &consumed, &bad), 0);
    assert_int_equal(ff_word_kernel_end(&counter.kernel, &counter.table), 0);
    assert_int_equal(ff_table_get(&counter.table, "a\0b", 3), 1);
    assert_word(&counter, "c", 1);
    close_counter(&counter);
}

static void ill_formed_parts_are_replaced_one_by_one(void **state)
{
    struct counter counter;

    (void)state;
    open_counter(&counter, FORKFOLD_PLAIN, FORKFOLD_INVALID_REPLACE);
    count_string(&counter, "a\xE2\x82 \x80\xFF");
    assert_word(&counter, "a\uFFFD", 1);
    assert_word(&counter, "\uFFFD\uFFFD", 1);
    assert_int_equal(counter.table.total, 2);
    close_counter(&counter);
}

static void append(struct text *text, const char *bytes, size_t count)
{
    if (count > TEXT_BYTES_MAX - text->count)
        return;
    memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
}

static void append_scalar(struct text *text, uint32_t code_point)
{
    char bytes[4];

    if (code_point < 0xD800 || code_point > 0xDFFF)
        append(text, bytes, ff_unicode_encode(code_point, bytes));
}

/*
 * Text in which every kind of character is near every other; ill-formed where
 * that is allowed.  Some texts are longer than several chunks of the fast path.
 */
static struct text make_text(bool ill_formed)
{
    static const char *const parts[] = {" ",
                                        " ",
                                        "\n",
                                        "\xC2\x85",
                                        "\u00A0",
                                        "\u2028",
                                        "\u3000",
                                        "a",
                                        "B",
                                        "Word",
                                        "x",
                                        "7",
                                        "-",
                                        "\u0130",
                                        "\u0307",
                                        "\u212A",
                                        "\u023A",
                                        "\u03A3",
                                        "\u2160",
                                        "\u200B",
                                        "\uFEFF",
                                        "\u4E2D",
                                        "\U00010400",
                                        "\U0001F600",
                                        "don't",
                                        "(end). ",
                                        "e.g. ",
                                        "well-known",
                                        "Sixteen-letters ",
                                        "abcdefghijklmnop ",
                                        "\x1C",
                                        "abcdefghijklmnopq "};
    struct text text = {0};
    size_t steps = random_below(random_below(20) == 0 ? 12000 : 120);

    for (size_t i = 0; i < steps; i++) {
        size_t kind = random_below(100);
        char byte = (char)(0x80 + random_below(0x80));

        if (kind < 70) {
            const char *part = parts[random_below(sizeof(parts) / sizeof(parts[0]))];

            append(&text, part, strlen(part));
        } else if (kind < 80) {
            append_scalar(&text, (uint32_t)random_below(random_below(2) ? 0x110000 : 0x3100));
        } else if (kind == 80) {
            for (size_t length = random_below(600); length > 0; length--)
                append(&text, "Q", 1);
        } else if (ill_formed) {
            append(&text, &byte, 1);
        }
    }
    return text;
}

/* A copy that ends where the block does, so that a sanitizer sees reads past it. */
static unsigned char *copy_block(const struct text *text, size_t from, size_t to)
{
    unsigned char *block = malloc(to > from ? to - from : 1);

    assert_non_null(block);
    memcpy(block, text->bytes + from, to - from);
    return block;
}

/* The end of a random next block: often a few bytes on, so that characters are cut. */
static size_t next_block(size_t end, size_t limit)
{
    size_t step = random_below(3) > 0 ? random_below(5) : random_below(200);

    return step < limit - end ? end + step : limit;
}

/* Feeds the part in random blocks.  Returns the offset of the error in the text, or NO_ERROR. */
static size_t feed_part(struct counter *counter, const struct text *text, size_t from, size_t to,
                        struct ff_utf8_error *bad)
{
    size_t end = from;
    bool last = false;

    while (!last) {
        size_t consumed = SIZE_MAX;
        unsigned char *block;
        int code;

        end = next_block(end, to);
        last = end == to && random_below(2) == 0;
        block = copy_block(text, from, end);
        code = ff_word_kernel_feed(&counter->kernel, &counter->table, block, end - from, last,
                                   &consumed, bad);
        free(block);
        if (code == FF_WORDS_ILL_FORMED)
            return from + bad->offset;
        assert_int_equal(code, 0);
        assert_in_range(end - from - consumed, 0, last ? 0 : 3);
        from += consumed;
    }
    return NO_ERROR;
}

/* Ends the token in progress from what follows a piece, in random blocks. */
static void finish_part(struct counter *counter, const struct text *text, size_t from)
{
    size_t end = from;
    bool last = false;
    bool ended = false;

    while (!ended) {
        size_t consumed = SIZE_MAX;
        unsigned char *block;

        assert_false(last);
        end = next_block(end, text->count);
        last = end == text->count && random_below(2) == 0;
        block = copy_block(text, from, end);
        assert_int_equal(ff_word_kernel_finish(&counter->kernel, &counter->table, block, end - from,
                                               last, &consumed, &ended),
                         0);
        free(block);
        assert_true(ended || end - from - consumed <= 3);
        from += consumed;
    }
}

static bool is_inside_token(const struct text *text, size_t boundary)
{
    size_t start;

    if (boundary == 0)
        return false;
    start = ff_utf8_before(text->bytes, boundary);
    return !ff_unicode_is_space(ff_utf8_decode(text->bytes + start, boundary - start).code_point);
}

static int compare_sizes(const void *a, const void *b)
{
    size_t left = *(const size_t *)a;
    size_t right = *(const size_t *)b;

    return (left > right) - (left < right);
}

/*
 * Counts the text in pieces that are cut anywhere, as readers that do not know of each other would.
 * Returns the offset of the first error in the text, or NO_ERROR.
 */
static size_t count_in_pieces(struct counter *counter, const struct text *text)
{
    size_t cuts[PIECES_MAX + 1] = {0};
    size_t pieces = 1 + random_below(PIECES_MAX);
    size_t first_error = NO_ERROR;

    for (size_t i = 1; i <= pieces; i++)
        cuts[i] = i == pieces ? text->count : random_below(text->count + 1);
    qsort(cuts, pieces + 1, sizeof(cuts[0]), compare_sizes);
    for (size_t i = 0; i < pieces; i++) {
        size_t from = ff_utf8_boundary(text->bytes, text->count, cuts[i]);
        size_t to = ff_utf8_boundary(text->bytes, text->count, cuts[i + 1]);
        struct ff_utf8_error bad;
        size_t error;

        ff_word_kernel_start(&counter->kernel, is_inside_token(text, from));
        error = feed_part(counter, text, from, to, &bad);
        if (error != NO_ERROR)
            first_error = error < first_error ? error : first_error;
        else if (i + 1 < pieces)
            finish_part(counter, text, to);
        else
            assert_int_equal(ff_word_kernel_end(&counter->kernel, &counter->table), 0);
    }
    return first_error;
}

static void any_cut_into_blocks_gives_the_same_words(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        enum forkfold_word_rule rule = round % 2 ? FORKFOLD_PLAIN : FORKFOLD_LETTERS;
        enum forkfold_invalid invalid =
            round % 4 < 2 ? FORKFOLD_INVALID_FAIL : FORKFOLD_INVALID_REPLACE;
        struct text text = make_text(invalid == FORKFOLD_INVALID_REPLACE);
        struct ff_table expected = {0};
        struct ff_utf8_error bad;
        struct counter counter;

        assert_int_equal(naive_count(text.bytes, text.count, rule, &expected), 0);
        open_counter(&counter, rule, invalid);
        assert_int_equal(feed_part(&counter, &text, 0, text.count, &bad), NO_ERROR);
        assert_int_equal(ff_word_kernel_end(&counter.kernel, &counter.table), 0);
        assert_same_words(&counter.table, &expected);
        close_counter(&counter);
        ff_table_free(&expected);
    }
}

static void any_split_into_pieces_gives_the_same_words(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        enum forkfold_word_rule rule = round % 2 ? FORKFOLD_PLAIN : FORKFOLD_LETTERS;
        enum forkfold_invalid invalid =
            round % 4 < 2 ? FORKFOLD_INVALID_FAIL : FORKFOLD_INVALID_REPLACE;
        struct text text = make_text(invalid == FORKFOLD_INVALID_REPLACE);
        struct ff_table expected = {0};
        struct counter counter;

        assert_int_equal(naive_count(text.bytes, text.count, rule, &expected), 0);
        open_counter(&counter, rule, invalid);
        assert_int_equal(count_in_pieces(&counter, &text), NO_ERROR);
        assert_same_words(&counter.table, &expected);
        close_counter(&counter);
        ff_table_free(&expected);
    }
}

static void strict_input_fails_at_its_first_error_however_it_is_cut(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct text text = make_text(true);
        struct ff_utf8_error expected = {0}, bad = {0};
        bool valid = ff_utf8_validate(text.bytes, text.count, &expected);
        struct counter counter;

        if (valid)
            continue;
        open_counter(&counter, FORKFOLD_LETTERS, FORKFOLD_INVALID_FAIL);
        assert_int_equal(feed_part(&counter, &text, 0, text.count, &bad), expected.offset);
        assert_int_equal(bad.kind, expected.kind);
        assert_int_equal(count_in_pieces(&counter, &text), expected.offset);
        close_counter(&counter);
    }
}

static void finish_ends_at_once_when_no_own_token_is_in_progress(void **state)
{
    struct counter counter;
    size_t consumed = 9;
    bool ended = false;

    (void)state;
    open_counter(&counter, FORKFOLD_LETTERS, FORKFOLD_INVALID_FAIL);
    for (int inside = 0; inside < 2; inside++) {
        ff_word_kernel_start(&counter.kernel, inside);
        assert_int_equal(ff_word_kernel_finish(&counter.kernel, &counter.table,
                                               (const unsigned char *)"abc", 3, false, &consumed,
                                               &ended),
                         0);
        assert_true(ended);
        assert_int_equal(consumed, 0);
    }
    assert_int_equal(ff_word_kernel_end(&counter.kernel, &counter.table), 0);
    assert_int_equal(counter.table.total, 0);
    close_counter(&counter);
}

static void finish_drops_a_token_that_goes_on_ill_formed(void **state)
{
    struct counter counter;
    struct ff_utf8_error bad;
    size_t consumed;
    bool ended = false;

    (void)state;
    open_counter(&counter, FORKFOLD_LETTERS, FORKFOLD_INVALID_FAIL);
    assert_int_equal(ff_word_kernel_feed(&counter.kernel, &counter.table,
                                         (const unsigned char *)"own", 3, true, &consumed, &bad),
                     0);
    assert_int_equal(ff_word_kernel_finish(&counter.kernel, &counter.table,
                                           (const unsigned char *)"er\xFFs next", 9, true,
                                           &consumed, &ended),
                     0);
    assert_true(ended);
    assert_int_equal(ff_word_kernel_end(&counter.kernel, &counter.table), 0);
    assert_int_equal(counter.table.total, 0);
    close_counter(&counter);
}

static void start_forgets_the_text_before(void **state)
{
    struct counter counter;
    struct ff_utf8_error bad;
    size_t consumed;

    (void)state;
    open_counter(&counter, FORKFOLD_PLAIN, FORKFOLD_INVALID_FAIL);
    assert_int_equal(ff_word_kernel_feed(&counter.kernel, &counter.table,
                                         (const unsigned char *)"half", 4, false, &consumed, &bad),
                     0);
    ff_word_kernel_start(&counter.kernel, false);
    count_string(&counter, "whole");
    assert_word(&counter, "whole", 1);
    assert_int_equal(counter.table.total, 1);
    close_counter(&counter);
}

static void a_giant_word_is_counted_and_its_buffer_not_kept(void **state)
{
    size_t count = (3 << 20) + 1;
    char *word = malloc(count + 1);
    struct counter counter;

    (void)state;
    assert_non_null(word);
    memset(word, 'g', count);
    word[count] = '\0';
    for (int rule = FORKFOLD_LETTERS; rule <= FORKFOLD_PLAIN; rule++) {
        open_counter(&counter, rule, FORKFOLD_INVALID_FAIL);
        count_string(&counter, word);
        assert_word(&counter, word, 1);
        ff_word_kernel_start(&counter.kernel, false);
        assert_int_equal(counter.kernel.key_size, 0);
        close_counter(&counter);
    }
    free(word);
}

static void a_word_over_the_longest_key_is_refused(void **state)
{
    struct counter counter;
    struct ff_utf8_error bad;
    size_t consumed;

    (void)state;
    open_counter(&counter, FORKFOLD_PLAIN, FORKFOLD_INVALID_FAIL);
    /* As if 4 GiB of one token had gone by; what is refused is not looked at. */
    counter.kernel.in_token = true;
    counter.kernel.key_used = FF_KEY_BYTES_MAX + 1;
    counter.kernel.key_size = FF_KEY_BYTES_MAX + 2;
    assert_int_equal(ff_word_kernel_feed(&counter.kernel, &counter.table,
                                         (const unsigned char *)"more", 4, true, &consumed, &bad),
                     FORKFOLD_E_LIMIT);
    counter.kernel.key_used = FF_KEY_BYTES_MAX + 1;
    assert_int_equal(ff_word_kernel_end(&counter.kernel, &counter.table), FORKFOLD_E_LIMIT);
    assert_int_equal(counter.table.total, 0);
    close_counter(&counter);
}

/* Counts words that need memory for a key, a long key and the table.  The first code but 0. */
static int count_long_words(struct counter *counter)
{
    char text[2000];
    struct ff_utf8_error bad;
    size_t consumed;
    int code;

    memset(text, 'w', sizeof(text));
    text[10] = ' ';
    ff_word_kernel_start(&counter->kernel, false);
    code = ff_word_kernel_feed(&counter->kernel, &counter->table, (unsigned char *)text,
                               sizeof(text), true, &consumed, &bad);
    return code != 0 ? code : ff_word_kernel_end(&counter->kernel, &counter->table);
}

static void refused_memory_is_reported_and_the_kernel_stays_usable(void **state)
{
    (void)state;
    for (int rule = FORKFOLD_LETTERS; rule <= FORKFOLD_PLAIN; rule++) {
        int code = FORKFOLD_E_MEMORY;
        long allowed = 0;

        for (; code != 0; allowed++) {
            struct counter counter;

            open_counter(&counter, rule, FORKFOLD_INVALID_FAIL);
            allocations_left = allowed;
            code = count_long_words(&counter);
            allocations_left = -1;
            assert_true(code == 0 || code == FORKFOLD_E_MEMORY);
            ff_table_clear(&counter.table);
            assert_int_equal(count_long_words(&counter), 0);
            assert_int_equal(counter.table.total, 2);
            close_counter(&counter);
        }
        assert_true(allowed > 3);
    }
}

static void versions_are_told(void **state)
{
    (void)state;
    assert_string_equal(forkfold_version(), FF_VERSION);
    assert_string_equal(forkfold_unicode_version(), "15.0.0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_follow_the_rule),
        cmocka_unit_test(nul_is_an_ordinary_character),
        cmocka_unit_test(ill_formed_parts_are_replaced_one_by_one),
        cmocka_unit_test(any_cut_into_blocks_gives_the_same_words),
        cmocka_unit_test(any_split_into_pieces_gives_the_same_words),
        cmocka_unit_test(strict_input_fails_at_its_first_error_however_it_is_cut),
        cmocka_unit_test(finish_ends_at_once_when_no_own_token_is_in_progress),
        cmocka_unit_test(finish_drops_a_token_that_goes_on_ill_formed),
        cmocka_unit_test(start_forgets_the_text_before),
        cmocka_unit_test(a_giant_word_is_counted_and_its_buffer_not_kept),
        cmocka_unit_test(a_word_over_the_longest_key_is_refused),
        cmocka_unit_test(refused_memory_is_reported_and_the_kernel_stays_usable),
        cmocka_unit_test(versions_are_told),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
