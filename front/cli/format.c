/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include <stdbool.h>
#include <string.h>

#include "text.h"

int ff_cli_format_tsv(struct ff_cli_writer *writer, forkfold_words *words,
                      struct ff_cli_selection selection)
{
    struct ff_cli_walk walk = ff_cli_walk_start(words, selection);
    forkfold_word word;

    while (writer->error == 0 && ff_cli_walk_next(&walk, &word)) {
        ff_cli_write_number(writer, word.count);
        ff_cli_write_byte(writer, '\t');
        ff_cli_write(writer, word.key, word.key_bytes);
        ff_cli_write_byte(writer, '\n');
    }
    return walk.error;
}

static bool needs_quotes(const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (text[i] == '"' || text[i] == ',' || text[i] == '\n' || text[i] == '\r')
            return true;
    }
    return false;
}

static void write_csv_field(struct ff_cli_writer *writer, const char *text, size_t count)
{
    if (!needs_quotes(text, count)) {
        ff_cli_write(writer, text, count);
        return;
    }
    ff_cli_write(writer, "\"", 1);
    for (size_t i = 0; i < count; i++) {
        if (text[i] == '"')
            ff_cli_write(writer, "\"", 1);
        ff_cli_write(writer, text + i, 1);
    }
    ff_cli_write(writer, "\"", 1);
}

int ff_cli_format_csv(struct ff_cli_writer *writer, forkfold_words *words,
                      struct ff_cli_selection selection)
{
    struct ff_cli_walk walk = ff_cli_walk_start(words, selection);
    forkfold_word word;

    ff_cli_write_text(writer, "count,word\n");
    while (writer->error == 0 && ff_cli_walk_next(&walk, &word)) {
        ff_cli_write_number(writer, word.count);
        ff_cli_write(writer, ",", 1);
        write_csv_field(writer, word.key, word.key_bytes);
        ff_cli_write(writer, "\n", 1);
    }
    return walk.error;
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

int ff_cli_format_json(struct ff_cli_writer *writer, forkfold_words *words,
                       struct ff_cli_selection selection)
{
    struct ff_cli_walk walk = ff_cli_walk_start(words, selection);
    forkfold_word word;

    ff_cli_write_text(writer, "{\"words\":[");
    while (writer->error == 0 && ff_cli_walk_next(&walk, &word)) {
        ff_cli_write_text(writer, walk.shown == 1 ? "\n{\"word\":" : ",\n{\"word\":");
        ff_cli_write_json_string(writer, word.key, word.key_bytes);
        ff_cli_write_text(writer, ",\"count\":");
        ff_cli_write_number(writer, word.count);
        ff_cli_write(writer, "}", 1);
    }
    ff_cli_write_text(writer, "\n],\"totals\":{");
    write_json_totals(writer, forkfold_words_get_totals(words));
    ff_cli_write_text(writer, "}}\n");
    return walk.error;
}

int ff_cli_format_ndjson(struct ff_cli_writer *writer, forkfold_words *words,
                         struct ff_cli_selection selection)
{
    struct ff_cli_walk walk = ff_cli_walk_start(words, selection);
    forkfold_word word;

    while (writer->error == 0 && ff_cli_walk_next(&walk, &word)) {
        ff_cli_write_text(writer, "{\"count\":");
        ff_cli_write_number(writer, word.count);
        ff_cli_write_text(writer, ",\"word\":");
        ff_cli_write_json_string(writer, word.key, word.key_bytes);
        ff_cli_write_text(writer, "}\n");
    }
    return walk.error;
}
