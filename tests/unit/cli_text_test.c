/* SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "text.h"

/* What write writes for text, as a string that lives until the next call. */
typedef void write_text(struct ff_cli_writer *, const char *, size_t);

static const char *written(write_text *write_it, const char *text, size_t count)
{
    static char buffer[256];
    struct ff_cli_writer writer;

    ff_cli_writer_start(&writer, -1, buffer, sizeof(buffer) - 1);
    write_it(&writer, text, count);
    assert_int_equal(writer.error, 0);
    buffer[writer.used] = '\0';
    return buffer;
}

static const char *cut(const char *text, size_t columns)
{
    static char buffer[256];
    struct ff_cli_writer writer;

    ff_cli_writer_start(&writer, -1, buffer, sizeof(buffer) - 1);
    ff_cli_write_safe_cut(&writer, text, strlen(text), columns);
    buffer[writer.used] = '\0';
    return buffer;
}

static void utf8_is_told_from_bytes(void **state)
{
    static const char *const good[] = {"", "a", "é", "€", "𝄞", "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF"};
    static const char *const bad[] = {"\x80",         "\xC0\x80",         "\xC3",
                                      "\xE0\x80\x80", "\xED\xA0\x80",     "\xF0\x80\x80\x80",
                                      "\xFF",         "\xF4\x90\x80\x80", "a\xE2\x82"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(ff_cli_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(ff_cli_is_utf8(bad[i], strlen(bad[i])));
}

static void safe_text_cannot_steer_a_terminal(void **state)
{
    (void)state;
    assert_string_equal(written(ff_cli_write_safe, "a\nb\x1b[1m", 7), "a\\x0ab\\x1b[1m");
    assert_string_equal(written(ff_cli_write_safe, "\0\x7f", 2), "\\x00\\x7f");
    assert_string_equal(written(ff_cli_write_safe, "\xC2\x9B", 2), "\\xc2\\x9b");
    assert_string_equal(written(ff_cli_write_safe, "\xE2\x80\xAE", 3), "\\xe2\\x80\\xae");
    assert_string_equal(written(ff_cli_write_safe, "\xC3", 1), "\\xc3");
    assert_string_equal(written(ff_cli_write_safe, "äö€", 7), "äö€");
}

static void long_text_is_cut_at_a_code_point(void **state)
{
    (void)state;
    assert_string_equal(cut("äöü", 3), "äöü");
    assert_string_equal(cut("äöüß", 3), "äö…");
    assert_string_equal(cut("a\x1b", 5), "a\\x1b");
    assert_string_equal(cut("a\x1b", 4), "a…");
    assert_string_equal(cut("ab", 1), "…");
    assert_string_equal(cut("ab", 0), "");
}

/* In a locale that knows nothing but ASCII, everything else is a column wide. */
static void widths_are_those_of_the_locale(void **state)
{
    (void)state;
    assert_int_equal(ff_cli_safe_columns("", 0), 0);
    assert_int_equal(ff_cli_safe_columns("a\x1b\xFF", 3), 9);
    assert_int_equal(ff_cli_safe_columns("日本", strlen("日本")), 2);
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        skip();
    assert_int_equal(ff_cli_safe_columns("日本é", strlen("日本é")), 5);
    assert_int_equal(ff_cli_safe_columns("e\xCC\x81", 3), 1);
    assert_string_equal(cut("日本語", 6), "日本語");
    assert_string_equal(cut("日本語", 5), "日本…");
    assert_string_equal(cut("日本語", 4), "日…");
    assert_string_equal(cut("日本語", 1), "…");
    setlocale(LC_CTYPE, "C");
}

static void json_strings_follow_rfc_8259(void **state)
{
    (void)state;
    assert_string_equal(written(ff_cli_write_json_string, "a\"b\\c", 5), "\"a\\\"b\\\\c\"");
    assert_string_equal(written(ff_cli_write_json_string, "\n\t\x1b\0", 4),
                        "\"\\n\\t\\u001b\\u0000\"");
    assert_string_equal(written(ff_cli_write_json_string, "é\xFFz", 4), "\"é\xEF\xBF\xBDz\"");
}

static void sizes_are_short(void **state)
{
    char text[FF_CLI_SIZE_TEXT_BYTES];

    (void)state;
    ff_cli_size_text(text, 1023);
    assert_string_equal(text, "1023 B");
    ff_cli_size_text(text, 1536);
    assert_string_equal(text, "1.5 KiB");
    ff_cli_size_text(text, (UINT64_C(1) << 30) - 1);
    assert_string_equal(text, "1023.9 MiB");
    ff_cli_size_text(text, UINT64_MAX);
    assert_string_equal(text, "15.9 EiB");
}

static void numbers_are_written_whole(void **state)
{
    char buffer[32];
    struct ff_cli_writer writer;

    (void)state;
    ff_cli_writer_start(&writer, -1, buffer, sizeof(buffer));
    ff_cli_write_number(&writer, 0);
    ff_cli_write_number(&writer, UINT64_MAX);
    assert_int_equal(writer.used, 21);
    assert_memory_equal(buffer, "018446744073709551615", 21);
    assert_int_equal(ff_cli_number_width(0), 1);
    assert_int_equal(ff_cli_number_width(UINT64_MAX), 20);
}

static void buffered_bytes_arrive_in_order(void **state)
{
    char buffer[4];
    char arrived[32] = "";
    int ends[2];
    struct ff_cli_writer writer;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    ff_cli_writer_start(&writer, ends[1], buffer, sizeof(buffer));
    ff_cli_write_text(&writer, "abc");
    ff_cli_write_text(&writer, "de");
    ff_cli_write_text(&writer, "longer than the buffer");
    assert_int_equal(ff_cli_writer_flush(&writer), 0);
    assert_int_equal(read(ends[0], arrived, sizeof(arrived)), 27);
    assert_memory_equal(arrived, "abcdelonger than the buffer", 27);
    close(ends[0]);
    close(ends[1]);
}

static void first_write_error_sticks(void **state)
{
    char buffer[4];
    struct ff_cli_writer writer;

    (void)state;
    ff_cli_writer_start(&writer, -1, buffer, sizeof(buffer));
    ff_cli_write_text(&writer, "abcd");
    ff_cli_write_text(&writer, "e");
    assert_int_not_equal(writer.error, 0);
    ff_cli_write_text(&writer, "f");
    assert_int_equal(writer.used, 0);
    assert_int_equal(ff_cli_writer_flush(&writer), writer.error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_told_from_bytes),
        cmocka_unit_test(safe_text_cannot_steer_a_terminal),
        cmocka_unit_test(long_text_is_cut_at_a_code_point),
        cmocka_unit_test(widths_are_those_of_the_locale),
        cmocka_unit_test(json_strings_follow_rfc_8259),
        cmocka_unit_test(sizes_are_short),
        cmocka_unit_test(numbers_are_written_whole),
        cmocka_unit_test(buffered_bytes_arrive_in_order),
        cmocka_unit_test(first_write_error_sticks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
