/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include <stdbool.h>
#include <string.h>

#include "text.h"

enum { GAP = 2, TITLE_COLUMNS = 8 };

static const char title[] = "count";

/* The next word to show; *shown counts them.  Words come most frequent first. */
static bool next_selected(const struct ff_cli_writer *writer, forkfold_words *words,
                          struct ff_cli_selection selection, uint64_t *shown, forkfold_word *word)
{
    if (writer->error != 0 || (selection.top != 0 && *shown == selection.top))
        return false;
    if (!forkfold_words_next(words, word) || word->count < selection.min_count)
        return false;
    (*shown)++;
    return true;
}

void ff_cli_format_tsv(struct ff_cli_writer *writer, forkfold_words *words,
                       struct ff_cli_selection selection)
{
    forkfold_word word;
    uint64_t shown = 0;

    forkfold_words_rewind(words);
    while (next_selected(writer, words, selection, &shown, &word)) {
        ff_cli_write_number(writer, word.count);
        ff_cli_write(writer, "\t", 1);
        ff_cli_write(writer, word.key, word.key_bytes);
        ff_cli_write(writer, "\n", 1);
    }
}

static void write_json_total(struct ff_cli_writer *writer, const char *name, uint64_t value)
{
    ff_cli_write_json_string(writer, name, strlen(name));
    ff_cli_write(writer, ":", 1);
    ff_cli_write_number(writer, value);
}

static void write_json_totals(struct ff_cli_writer *writer, const forkfold_words_totals *totals)
{
    write_json_total(writer, "files", totals->files);
    ff_cli_write(writer, ",", 1);
    write_json_total(writer, "files_failed", totals->files_failed);
    ff_cli_write(writer, ",", 1);
    write_json_total(writer, "files_other", totals->files_other);
    ff_cli_write(writer, ",", 1);
    write_json_total(writer, "bytes", totals->bytes);
    ff_cli_write(writer, ",", 1);
    write_json_total(writer, "words", totals->words);
    ff_cli_write(writer, ",", 1);
    write_json_total(writer, "distinct", totals->distinct);
}

void ff_cli_format_json(struct ff_cli_writer *writer, forkfold_words *words,
                        struct ff_cli_selection selection)
{
    forkfold_word word;
    uint64_t shown = 0;

    forkfold_words_rewind(words);
    ff_cli_write_text(writer, "{\"words\":[");
    while (next_selected(writer, words, selection, &shown, &word)) {
        ff_cli_write_text(writer, shown == 1 ? "\n{\"word\":" : ",\n{\"word\":");
        ff_cli_write_json_string(writer, word.key, word.key_bytes);
        ff_cli_write_text(writer, ",\"count\":");
        ff_cli_write_number(writer, word.count);
        ff_cli_write(writer, "}", 1);
    }
    ff_cli_write_text(writer, "\n],\"totals\":{");
    write_json_totals(writer, forkfold_words_get_totals(words));
    ff_cli_write_text(writer, "}}\n");
}

static void write_right(struct ff_cli_writer *writer, uint64_t number, size_t width)
{
    size_t own = ff_cli_number_width(number);

    if (own < width)
        ff_cli_write_repeated(writer, ' ', width - own);
    ff_cli_write_number(writer, number);
}

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

/* The first selected word has the widest count. */
static size_t count_columns(forkfold_words *words)
{
    size_t width = strlen(title);
    forkfold_word first;

    forkfold_words_rewind(words);
    if (forkfold_words_next(words, &first) && ff_cli_number_width(first.count) > width)
        width = ff_cli_number_width(first.count);
    forkfold_words_rewind(words);
    return width;
}

void ff_cli_format_table(struct ff_cli_writer *writer, forkfold_words *words,
                         struct ff_cli_selection selection, size_t columns)
{
    size_t width = count_columns(words);
    size_t rest = columns > width + GAP ? columns - width - GAP : 1;
    uint64_t shown = 0;
    forkfold_word word;

    while (next_selected(writer, words, selection, &shown, &word)) {
        if (shown == 1) {
            ff_cli_write_repeated(writer, ' ', width - strlen(title));
            ff_cli_write_text(writer, "count  word\n");
        }
        write_right(writer, word.count, width);
        ff_cli_write_repeated(writer, ' ', GAP);
        ff_cli_write_safe_cut(writer, word.key, word.key_bytes, rest);
        ff_cli_write(writer, "\n", 1);
    }
    if (shown > 0)
        ff_cli_write(writer, "\n", 1);
    write_totals(writer, forkfold_words_get_totals(words), shown == selection.top, shown);
}
