/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The formats over a result that the test makes up: its keys die with the next
 * call, and it may break off with an error anywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "format.h"
#include "table.h"

struct forkfold_words {
    const forkfold_word *entries;
    size_t count;
    size_t breaks_at; /* the call of next, from the start, that fails; SIZE_MAX = none */
    size_t calls;     /* since the start, rewinding or not */
    size_t next;
    char key[64]; /* the one key that lives */
    forkfold_words_totals totals;
};

void forkfold_words_rewind(forkfold_words *words)
{
    words->next = 0;
}

int forkfold_words_next(forkfold_words *words, forkfold_word *word)
{
    memset(words->key, '!', sizeof(words->key));
    if (words->calls++ == words->breaks_at)
        return FORKFOLD_E_DAMAGED;
    if (words->next == words->count)
        return 0;
    *word = words->entries[words->next++];
    assert_true(word->key_bytes <= sizeof(words->key));
    memcpy(words->key, word->key, word->key_bytes);
    word->key = words->key;
    return 1;
}

const forkfold_words_totals *forkfold_words_get_totals(const forkfold_words *words)
{
    return &words->totals;
}

static const forkfold_word entries[] = {
    {"the", 3, 16}, {"\"so\"", 4, 8}, {"a,b", 3, 4}, {"caf\xC3\xA9", 5, 1}};

enum { ENTRIES = sizeof(entries) / sizeof(entries[0]), TEXT_BYTES = 1024 };

static forkfold_words made_up(void)
{
    return (forkfold_words){.entries = entries,
                            .count = ENTRIES,
                            .breaks_at = SIZE_MAX,
                            .totals = {.files = 1, .words = 29, .distinct = ENTRIES, .bytes = 99}};
}

static const struct ff_cli_selection all = {0};

/* The table behind the type of the other formats. */
static int format_table(struct ff_cli_writer *writer, forkfold_words *words,
                        struct ff_cli_selection selection)
{
    const struct ff_cli_table_look look = {.columns = 29};

    return ff_cli_format_table(writer, words, selection, &look);
}

static const char *formatted(ff_cli_format_words *format, struct ff_cli_selection selection)
{
    static char text[TEXT_BYTES + 1];
    forkfold_words words = made_up();
    struct ff_cli_writer writer;

    ff_cli_writer_start(&writer, -1, text, TEXT_BYTES);
    assert_int_equal(format(&writer, &words, selection), 0);
    assert_int_equal(writer.error, 0);
    text[writer.used] = '\0';
    return text;
}

static void words_come_in_every_format(void **state)
{
    (void)state;
    assert_string_equal(formatted(ff_cli_format_tsv, all),
                        "16\tthe\n8\t\"so\"\n4\ta,b\n1\tcaf\xC3\xA9\n");
    assert_string_equal(formatted(ff_cli_format_csv, all),
                        "count,word\n16,the\n8,\"\"\"so\"\"\"\n4,\"a,b\"\n1,caf\xC3\xA9\n");
    assert_string_equal(formatted(ff_cli_format_ndjson, all),
                        "{\"count\":16,\"word\":\"the\"}\n{\"count\":8,\"word\":\"\\\"so\\\"\"}\n"
                        "{\"count\":4,\"word\":\"a,b\"}\n{\"count\":1,\"word\":\"caf\xC3\xA9\"}\n");
    assert_string_equal(
        formatted(ff_cli_format_json, (struct ff_cli_selection){.top = 1}),
        "{\"words\":[\n{\"word\":\"the\",\"count\":16}\n],\"totals\":{\"files\":1,"
        "\"files_failed\":0,\"files_other\":0,\"bytes\":99,\"words\":29,\"distinct\":4}}\n");
}

static void table_has_bars_beside_the_words(void **state)
{
    (void)state;
    assert_string_equal(formatted(format_table, all), "count  word\n"
                                                      "   16  the   ################\n"
                                                      "    8  \"so\"  ########\n"
                                                      "    4  a,b   ####\n"
                                                      "    1  caf\xC3\xA9  #\n"
                                                      "\n"
                                                      "files     1\n"
                                                      "words     29\n"
                                                      "distinct  4\n"
                                                      "bytes     99\n");
}

static void selection_is_the_same_in_every_format(void **state)
{
    static const struct ff_cli_selection two[] = {{.top = 2}, {.min_count = 5}, {2, 8}};

    (void)state;
    for (size_t i = 0; i < sizeof(two) / sizeof(two[0]); i++) {
        assert_string_equal(formatted(ff_cli_format_tsv, two[i]), "16\tthe\n8\t\"so\"\n");
        assert_string_equal(formatted(ff_cli_format_csv, two[i]),
                            "count,word\n16,the\n8,\"\"\"so\"\"\"\n");
        assert_non_null(strstr(formatted(format_table, two[i]), "\n\nfiles"));
        assert_null(strstr(formatted(format_table, two[i]), "a,b"));
    }
}

/* Wherever it happens: in the first look of the table, in its second, at the very end. */
static void result_that_cannot_be_read_is_an_error_of_every_format(void **state)
{
    static ff_cli_format_words *const formats[] = {ff_cli_format_tsv, ff_cli_format_csv,
                                                   ff_cli_format_json, ff_cli_format_ndjson,
                                                   format_table};
    char text[TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        size_t calls = (formats[i] == format_table ? 2 : 1) * (ENTRIES + 1);

        for (size_t call = 0; call < calls; call++) {
            forkfold_words words = made_up();
            struct ff_cli_writer writer;

            words.breaks_at = call;
            ff_cli_writer_start(&writer, -1, text, sizeof(text));
            assert_int_equal(formats[i](&writer, &words, all), FORKFOLD_E_DAMAGED);
            assert_int_equal(words.calls, call + 1);
        }
    }
}

static void write_error_ends_the_walk(void **state)
{
    char text[4];
    forkfold_words words = made_up();
    struct ff_cli_writer writer;

    (void)state;
    ff_cli_writer_start(&writer, -1, text, sizeof(text));
    assert_int_equal(ff_cli_format_tsv(&writer, &words, all), 0);
    assert_int_not_equal(writer.error, 0);
    assert_true(words.calls < ENTRIES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_come_in_every_format),
        cmocka_unit_test(table_has_bars_beside_the_words),
        cmocka_unit_test(selection_is_the_same_in_every_format),
        cmocka_unit_test(result_that_cannot_be_read_is_an_error_of_every_format),
        cmocka_unit_test(write_error_ends_the_walk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
