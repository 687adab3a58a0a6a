/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <stdint.h>
#include <string.h>

#include "text.h"

enum {
    GAP = 2,
    TITLE_COLUMNS = 8,
    BAR_COLUMNS_MIN = 10,
    BAR_COLUMNS_MAX = 60, /* further than that the eye does not follow the line */
    EIGHTHS = 8,
    MEASURED_WORDS = 1000 /* those further down have no bars worth aligning */
};

static const char title[] = "count";

#define BOLD      "\x1b[1m"
#define BAR_COLOR "\x1b[36m"
#define NORMAL    "\x1b[0m"

struct table {
    const struct ff_cli_table_look *look;
    size_t count_columns;
    size_t word_columns; /* of the widest word that has a bar */
    size_t bar_columns;  /* of the longest bar; 0 = no bars */
    uint64_t most;       /* the count that has the longest bar */
};

/* ---- Layout -------------------------------------------------------------- */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What a line has for a word and a bar beside the count and the gaps. */
static size_t free_columns(const struct table *table)
{
    size_t used = table->count_columns + (size_t)2 * GAP;

    return table->look->columns > used ? table->look->columns - used : 0;
}

/*
 * Measures the words.  One that would leave less than a third of the line to
 * the bars takes its line alone, so that a single long one does not cost the
 * others theirs.
 */
static int lay_out(struct table *table, forkfold_words *words, struct ff_cli_selection selection)
{
    struct ff_cli_walk walk = ff_cli_walk_start(words, selection);
    size_t words_limit = 0;
    forkfold_word word;

    table->count_columns = strlen(title);
    while (walk.shown < MEASURED_WORDS && ff_cli_walk_next(&walk, &word)) {
        size_t columns = ff_cli_safe_columns(word.key, word.key_bytes);

        if (walk.shown == 1) {
            table->most = word.count;
            table->count_columns = larger(strlen(title), ff_cli_number_width(word.count));
            words_limit = free_columns(table) * 2 / 3;
        }
        if (columns <= words_limit)
            table->word_columns = larger(table->word_columns, columns);
    }
    table->word_columns = larger(table->word_columns, strlen("word"));
    if (free_columns(table) >= table->word_columns + BAR_COLUMNS_MIN)
        table->bar_columns = smaller(free_columns(table) - table->word_columns, BAR_COLUMNS_MAX);
    return walk.error;
}

/* ---- Lines --------------------------------------------------------------- */

static void write_steering(struct ff_cli_writer *writer, const struct table *table,
                           const char *sequence)
{
    if (table->look->colours)
        ff_cli_write_text(writer, sequence);
}

static void write_title(struct ff_cli_writer *writer, const struct table *table)
{
    write_steering(writer, table, BOLD);
    ff_cli_write_repeated(writer, ' ', table->count_columns - strlen(title));
    ff_cli_write_text(writer, "count  word");
    write_steering(writer, table, NORMAL);
    ff_cli_write(writer, "\n", 1);
}

/* The length of a bar in columns, or in eighths of them, to the nearest. */
static size_t bar_length(const struct table *table, uint64_t count)
{
    __extension__ typedef unsigned __int128 wide;
    size_t full = table->bar_columns * (table->look->utf8 ? EIGHTHS : 1);

    return (size_t)(((wide)count * full + table->most / 2) / table->most);
}

static void write_blocks(struct ff_cli_writer *writer, size_t eighths)
{
    static const char *const parts[EIGHTHS] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

    for (; eighths >= EIGHTHS; eighths -= EIGHTHS)
        ff_cli_write_text(writer, "█");
    ff_cli_write_text(writer, parts[eighths]);
}

static void write_bar(struct ff_cli_writer *writer, const struct table *table, uint64_t count,
                      size_t word_columns)
{
    size_t length = table->most > 0 ? bar_length(table, count) : 0;

    if (length == 0)
        return;
    ff_cli_write_repeated(writer, ' ', table->word_columns - word_columns + GAP);
    write_steering(writer, table, BAR_COLOR);
    if (table->look->utf8)
        write_blocks(writer, length);
    else
        ff_cli_write_repeated(writer, '#', length);
    write_steering(writer, table, NORMAL);
}

static void write_word(struct ff_cli_writer *writer, const struct table *table,
                       const forkfold_word *word)
{
    size_t columns = ff_cli_safe_columns(word->key, word->key_bytes);
    size_t before = table->count_columns + GAP;
    size_t rest = table->look->columns > before ? table->look->columns - before : 1;

    ff_cli_write_repeated(writer, ' ', table->count_columns - ff_cli_number_width(word->count));
    ff_cli_write_number(writer, word->count);
    ff_cli_write_repeated(writer, ' ', GAP);
    ff_cli_write_safe_cut(writer, word->key, word->key_bytes, rest);
    if (table->bar_columns > 0 && columns <= table->word_columns)
        write_bar(writer, table, word->count, columns);
    ff_cli_write(writer, "\n", 1);
}

/* ---- Totals -------------------------------------------------------------- */

static void write_total(struct ff_cli_writer *writer, const char *name, uint64_t value)
{
    ff_cli_write_text(writer, name);
    ff_cli_write_repeated(writer, ' ', TITLE_COLUMNS + GAP - strlen(name));
    ff_cli_write_number(writer, value);
}

static void write_totals(struct ff_cli_writer *writer, const forkfold_words_totals *totals,
                         bool cut_off, uint64_t shown)
{
    char size[FF_CLI_SIZE_TEXT_BYTES];

    ff_cli_size_text(size, totals->bytes);
    write_total(writer, "files", totals->files);
    ff_cli_write_text(writer, "\n");
    write_total(writer, "words", totals->words);
    ff_cli_write_text(writer, "\n");
    write_total(writer, "distinct", totals->distinct);
    if (shown < totals->distinct) {
        ff_cli_write_text(writer, " (");
        ff_cli_write_number(writer, shown);
        ff_cli_write_text(writer, cut_off ? " shown; --top 0 shows all)" : " shown)");
    }
    ff_cli_write_text(writer, "\n");
    write_total(writer, "bytes", totals->bytes);
    if (totals->bytes >= 1024) {
        ff_cli_write_text(writer, " (");
        ff_cli_write_text(writer, size);
        ff_cli_write_text(writer, ")");
    }
    ff_cli_write_text(writer, "\n");
}

int ff_cli_format_table(struct ff_cli_writer *writer, forkfold_words *words,
                        struct ff_cli_selection selection, const struct ff_cli_table_look *look)
{
    struct table table = {.look = look};
    int error = lay_out(&table, words, selection);
    struct ff_cli_walk walk;
    forkfold_word word;

    if (error != 0)
        return error;
    walk = ff_cli_walk_start(words, selection);
    while (writer->error == 0 && ff_cli_walk_next(&walk, &word)) {
        if (walk.shown == 1)
            write_title(writer, &table);
        write_word(writer, &table, &word);
    }
    if (walk.error != 0)
        return walk.error;
    if (walk.shown > 0)
        ff_cli_write(writer, "\n", 1);
    write_totals(writer, forkfold_words_get_totals(words), walk.shown == selection.top, walk.shown);
    return 0;
}
