/* SPDX-License-Identifier: Apache-2.0 */
/* Words of texts in memory: beside a plain count, and beside a count of a file with the same bytes. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <forkfold.h>

#include "naive_words.h"
#include "random_keys.h"

enum { WORKERS = 3, ROUNDS = 300 };

struct text {
    char *bytes;
    size_t count;
    size_t room;
};

static forkfold_pool *open_pool(void)
{
    forkfold_pool *pool = NULL;
    char message[512] = "";

    if (forkfold_pool_open(&pool, &(forkfold_pool_options){.workers = WORKERS}, message,
                           sizeof(message)) != 0)
        fail_msg("cannot open a pool: %s", message);
    return pool;
}

/* ---- Texts --------------------------------------------------------------- */

/* What words are made of here: letters that grow or combine, gaps, all kinds of white space. */
static const char *const parts[] = {
    "word",   "Word",   "I",        "don't",        "1984",       "\u03a3", "\u03c3\u03a3",
    "\u0130", "\u00e9", "e\u0301",  "\u6f22\u5b57", "\U00010400", " ",      "\n",
    "\t ",    "\u00a0", "\u2003",   "\u3000",       "\x85",       ".",      "\u2014",
    " ",      "\n",     "\xC2\x85", "\x00",
};

/* Of the parts; the one that is no UTF-8 only on request. */
static void append_part(struct text *text, bool may_be_ill_formed)
{
    size_t number = random_below(sizeof(parts) / sizeof(parts[0]));
    const char *part = parts[number];

    if (!may_be_ill_formed && part[0] == '\x85')
        part = " ";
    if (text->room - text->count < 16)
        return;
    size_t bytes = part[0] == '\0' ? 1 : strlen(part);

    memcpy(text->bytes + text->count, part, bytes);
    text->count += bytes;
}

static struct text make_text(size_t room, bool may_be_ill_formed)
{
    struct text text = {.bytes = malloc(room + 16), .room = room + 16};
    bool is_ill_formed = may_be_ill_formed && random_below(2) == 0;

    assert_non_null(text.bytes);
    while (text.count < room)
        append_part(&text, is_ill_formed && random_below(50) == 0);
    return text;
}

/* ---- Counting ------------------------------------------------------------ */

static void assert_is_naive_count(forkfold_words *words, const struct text *text,
                                  enum forkfold_word_rule rule)
{
    struct ff_table expected;
    forkfold_word word;
    uint64_t distinct = 0;

    ff_table_init(&expected);
    assert_int_equal(naive_count((const unsigned char *)text->bytes, text->count, rule, &expected),
                     0);
    while (forkfold_words_next(words, &word) > 0) {
        distinct++;
        assert_int_equal(word.count, ff_table_get(&expected, word.key, word.key_bytes));
    }
    assert_int_equal(distinct, expected.used);
    assert_int_equal(forkfold_words_get_totals(words)->words, expected.total);
    assert_int_equal(forkfold_words_get_totals(words)->distinct, expected.used);
    assert_int_equal(forkfold_words_get_totals(words)->files, 1);
    assert_int_equal(forkfold_words_get_totals(words)->bytes, text->count);
    assert_null(forkfold_words_failure(words, 0));
    ff_table_free(&expected);
}

static void assert_failed_at(forkfold_words *words, struct ff_utf8_error error)
{
    const forkfold_failure *failure = forkfold_words_failure(words, 0);
    forkfold_word word;
    char detail[200];

    assert_non_null(failure);
    assert_string_equal(failure->path, "text");
    assert_int_equal(failure->path_bytes, 4);
    assert_int_equal(failure->reason, FORKFOLD_REASON_DECODE);
    assert_int_equal(failure->byte_offset, error.offset);
    snprintf(detail, sizeof(detail), "invalid UTF-8 at byte %zu: %s", error.offset,
             ff_utf8_kind_text(error.kind));
    assert_string_equal(failure->detail, detail);
    assert_null(forkfold_words_failure(words, 1));
    assert_int_equal(forkfold_words_get_totals(words)->files, 0);
    assert_int_equal(forkfold_words_get_totals(words)->files_failed, 1);
    assert_int_equal(forkfold_words_get_totals(words)->words, 0);
    assert_int_equal(forkfold_words_next(words, &word), 0);
}

static void assert_counts(forkfold_pool *pool, const struct text *text, bool is_shared,
                          const forkfold_words_options *options)
{
    forkfold_shared *shared = NULL;
    forkfold_words *words = NULL;
    struct ff_utf8_error error;
    const char *bytes = text->bytes;

    if (is_shared) {
        assert_int_equal(forkfold_shared_open(pool, FORKFOLD_U8, text->count + 1, &shared), 0);
        memcpy((char *)forkfold_shared_data(shared) + 1, text->bytes, text->count);
        bytes = (char *)forkfold_shared_data(shared) + 1;
    }
    if (forkfold_count_text(pool, bytes, text->count, options, &words) != 0)
        fail_msg("cannot count: %s", forkfold_pool_message(pool));
    if (options->invalid == FORKFOLD_INVALID_REPLACE ||
        naive_validate((const unsigned char *)text->bytes, text->count, &error))
        assert_is_naive_count(words, text, options->rule);
    else
        assert_failed_at(words, error);
    forkfold_words_close(words);
    forkfold_shared_close(shared);
}

static void counts_are_those_of_a_plain_loop(void **state)
{
    static const uint64_t splits[] = {0, 16, 17, 64, 1000, 1 << 20};
    forkfold_pool *pool = open_pool();

    (void)state;
    seed_random();
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct text text = make_text(random_below(4000), true);

        assert_counts(pool, &text, random_below(2) == 0,
                      &(forkfold_words_options){
                          .rule = (enum forkfold_word_rule)random_below(2),
                          .invalid = (enum forkfold_invalid)random_below(2),
                          .split_bytes = splits[random_below(sizeof(splits) / sizeof(splits[0]))]});
        free(text.bytes);
    }
    forkfold_pool_close(pool);
}

/* So that by default there is more than one piece for each worker. */
static void long_texts_are_counted_in_pieces(void **state)
{
    enum { BYTES = 3 << 20 };
    forkfold_pool *pool = open_pool();
    struct text text;

    (void)state;
    seed_random();
    text = make_text(BYTES, false);
    for (unsigned is_shared = 0; is_shared < 2; is_shared++)
        assert_counts(pool, &text, is_shared == 1, &(forkfold_words_options){0});
    text.bytes[BYTES - 1000] = '\xFF';
    text.bytes[BYTES - 7] = '\xFF';
    assert_counts(pool, &text, true, &(forkfold_words_options){0});
    assert_counts(pool, &text, false,
                  &(forkfold_words_options){.invalid = FORKFOLD_INVALID_REPLACE});
    /* One word over all pieces, and none. */
    memset(text.bytes, 'a', text.count);
    assert_counts(pool, &text, true, &(forkfold_words_options){0});
    memset(text.bytes, '.', text.count);
    assert_counts(pool, &text, true, &(forkfold_words_options){0});
    free(text.bytes);
    forkfold_pool_close(pool);
}

/* ---- Beside files -------------------------------------------------------- */

static void assert_same_failure(forkfold_words *a, forkfold_words *b)
{
    const forkfold_failure *left = forkfold_words_failure(a, 0);
    const forkfold_failure *right = forkfold_words_failure(b, 0);

    assert_int_equal(left != NULL, right != NULL);
    if (left == NULL)
        return;
    assert_int_equal(left->reason, right->reason);
    assert_string_equal(left->detail, right->detail);
    assert_int_equal(left->byte_offset, right->byte_offset);
    assert_int_equal(left->attempts, right->attempts);
}

static void assert_same_result(forkfold_words *a, forkfold_words *b)
{
    const forkfold_words_totals *left = forkfold_words_get_totals(a);
    const forkfold_words_totals *right = forkfold_words_get_totals(b);
    forkfold_word left_word;
    forkfold_word right_word;
    int more;

    assert_int_equal(left->files, right->files);
    assert_int_equal(left->files_failed, right->files_failed);
    assert_int_equal(left->bytes, right->bytes);
    assert_int_equal(left->words, right->words);
    assert_int_equal(left->distinct, right->distinct);
    assert_same_failure(a, b);
    while ((more = forkfold_words_next(a, &left_word)) > 0) {
        assert_int_equal(forkfold_words_next(b, &right_word), 1);
        assert_int_equal(left_word.count, right_word.count);
        assert_int_equal(left_word.key_bytes, right_word.key_bytes);
        assert_memory_equal(left_word.key, right_word.key, left_word.key_bytes);
    }
    assert_int_equal(more, 0);
    assert_int_equal(forkfold_words_next(b, &right_word), 0);
}

static void write_file(int fd, const struct text *text)
{
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, text->bytes, text->count, 0), (ssize_t)text->count);
}

/* A result borrows its pool, so there are two. */
static void text_gives_the_result_of_a_file(void **state)
{
    const char *folder = getenv("TMPDIR");
    forkfold_pool *pool = open_pool();
    forkfold_pool *file_pool = open_pool();
    char path[256];
    const char *paths[] = {path};

    (void)state;
    seed_random();
    snprintf(path, sizeof(path), "%s/text.XXXXXX", folder != NULL ? folder : "/tmp");
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    for (unsigned i = 0; i < ROUNDS / 3; i++) {
        struct text text = make_text(random_below(3000), true);
        forkfold_words_options options = {.rule = (enum forkfold_word_rule)random_below(2),
                                          .split_bytes = 16 + random_below(500)};
        forkfold_words *in_memory = NULL;
        forkfold_words *in_file = NULL;

        write_file(fd, &text);
        assert_int_equal(forkfold_count_text(pool, text.bytes, text.count, &options, &in_memory),
                         0);
        options.paths = paths;
        options.path_count = 1;
        assert_int_equal(forkfold_count_words(file_pool, &options, &in_file, NULL), 0);
        assert_same_result(in_memory, in_file);
        forkfold_words_close(in_memory);
        forkfold_words_close(in_file);
        free(text.bytes);
    }
    close(fd);
    unlink(path);
    forkfold_pool_close(pool);
    forkfold_pool_close(file_pool);
}

/* ---- What else may be ---------------------------------------------------- */

static void text_may_change_when_it_has_been_counted(void **state)
{
    forkfold_pool *pool = open_pool();
    char text[] = "one two two";
    forkfold_words *words = NULL;
    forkfold_word word;

    (void)state;
    assert_int_equal(forkfold_count_text(pool, text, strlen(text), NULL, &words), 0);
    memset(text, 'x', strlen(text));
    assert_int_equal(forkfold_words_next(words, &word), 1);
    assert_int_equal(word.count, 2);
    assert_int_equal(word.key_bytes, 3);
    assert_memory_equal(word.key, "two", 3);
    assert_int_equal(forkfold_words_next(words, &word), 1);
    assert_memory_equal(word.key, "one", 3);
    assert_int_equal(forkfold_words_next(words, &word), 0);
    forkfold_words_close(words);
    forkfold_pool_close(pool);
}

static void text_of_no_bytes_has_no_words(void **state)
{
    forkfold_pool *pool = open_pool();
    forkfold_words *words = NULL;
    forkfold_word word;

    (void)state;
    assert_int_equal(forkfold_count_text(pool, NULL, 0, NULL, &words), 0);
    assert_int_equal(forkfold_words_get_totals(words)->files, 1);
    assert_int_equal(forkfold_words_next(words, &word), 0);
    forkfold_words_close(words);
    forkfold_pool_close(pool);
}

static void assert_refused(forkfold_pool *pool, const char *text,
                           const forkfold_words_options *options)
{
    forkfold_words *words = NULL;

    assert_int_equal(forkfold_count_text(pool, text, 4, options, &words), FORKFOLD_E_INVALID);
    assert_string_not_equal(forkfold_pool_message(pool), "");
    assert_null(words);
}

static void options_of_files_are_refused(void **state)
{
    forkfold_pool *pool = open_pool();
    forkfold_words *words = NULL;

    (void)state;
    assert_refused(pool, NULL, NULL);
    assert_refused(pool, "text", &(forkfold_words_options){.path_count = 1});
    assert_refused(pool, "text", &(forkfold_words_options){.paths_are_files = 1});
    assert_refused(pool, "text", &(forkfold_words_options){.glob = "*"});
    assert_refused(pool, "text", &(forkfold_words_options){.recursive = 1});
    assert_refused(pool, "text", &(forkfold_words_options){.stdin_fd = 1});
    assert_refused(pool, "text", &(forkfold_words_options){.split_bytes = 1});
    assert_int_equal(forkfold_count_text(pool, "text", 4, NULL, &words), 0);
    assert_int_equal(forkfold_count_text(pool, "text", 4, NULL, &words), FORKFOLD_E_BUSY);
    forkfold_words_close(words);
    forkfold_pool_close(pool);
}

#ifdef FF_KILL_POINTS
static void assert_dies(const char *fault, uint64_t split_bytes)
{
    static const char text[] = "a text that kills its worker, whichever piece it is in";
    forkfold_words_options options = {.split_bytes = split_bytes, .max_deaths = 100};
    forkfold_words *words = NULL;
    forkfold_word word;

    assert_int_equal(setenv("FORKFOLD_FAULT", fault, 1), 0);
    forkfold_pool *pool = open_pool();

    assert_int_equal(unsetenv("FORKFOLD_FAULT"), 0);
    assert_int_equal(forkfold_count_text(pool, text, strlen(text), &options, &words), 0);
    assert_non_null(forkfold_words_failure(words, 0));
    assert_int_equal(forkfold_words_failure(words, 0)->reason, FORKFOLD_REASON_SIGNAL);
    assert_int_equal(forkfold_words_failure(words, 0)->signal, SIGKILL);
    assert_int_equal(forkfold_words_failure(words, 0)->attempts, 3);
    assert_int_equal(forkfold_words_next(words, &word), 0);
    forkfold_words_close(words);
    forkfold_pool_close(pool);
}

static void text_that_kills_workers_fails(void **state)
{
    (void)state;
    assert_dies("kill:begin:text", 0);
    assert_dies("kill:middle:text", 16);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_a_plain_loop),
        cmocka_unit_test(long_texts_are_counted_in_pieces),
        cmocka_unit_test(text_gives_the_result_of_a_file),
        cmocka_unit_test(text_may_change_when_it_has_been_counted),
        cmocka_unit_test(text_of_no_bytes_has_no_words),
        cmocka_unit_test(options_of_files_are_refused),
#ifdef FF_KILL_POINTS
        cmocka_unit_test(text_that_kills_workers_fails),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
