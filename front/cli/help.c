/* SPDX-License-Identifier: Apache-2.0 */
#include "help.h"

#include <forkfold.h>

#include "options.h"
#include "output.h"
#include "writer.h"

static void write_help(struct ff_cli_writer *writer)
{
    ff_cli_write_text(
        writer, "Usage: forkfold words [OPTION]... PATH...\n"
                "       forkfold help [COMMAND]\n"
                "       forkfold --version\n"
                "\n"
                "Processes many files on every core, in worker processes that may crash:\n"
                "every good file counts exactly once, every bad one is listed with its reason.\n"
                "\n"
                "Commands:\n"
                "  words   count the words in files, directories or standard input\n"
                "  help    show this, or the help of a command\n"
                "\n"
                "'forkfold words --help' lists the options of words; 'man forkfold' has\n"
                "the word rules, the output formats, the exit codes and examples.\n");
}

static void write_words_help(struct ff_cli_writer *writer)
{
    ff_cli_write_text(writer,
                      "Usage: forkfold words [OPTION]... PATH...\n"
                      "Counts the words in files, directories (*.txt) and standard input (-).\n"
                      "\n");
    ff_cli_options_help(writer);
    ff_cli_write_text(writer,
                      "Exit codes: 0 all counted, 1 all but the listed inputs, 2 wrong usage,\n"
                      "3 no result, 130 interrupted, 143 terminated.  Manual: man forkfold\n");
}

static void write_version(struct ff_cli_writer *writer)
{
    ff_cli_write_text(writer, "forkfold ");
    ff_cli_write_text(writer, forkfold_version());
    ff_cli_write_text(writer, "\nUnicode ");
    ff_cli_write_text(writer, forkfold_unicode_version());
    ff_cli_write_text(writer, "\nLicensed under the Apache License, Version 2.0; "
                              "there is no warranty.\n");
}

static int show(void (*write)(struct ff_cli_writer *))
{
    static struct ff_cli_output output;
    char buffer[1024];
    int code = ff_cli_output_check(&output, NULL, NULL);

    if (code != 0)
        return code;
    code = ff_cli_output_open(&output, NULL, buffer, sizeof(buffer));
    if (code != 0)
        return code;
    write(&output.writer);
    return ff_cli_output_commit(&output);
}

int ff_cli_show_help(void)
{
    return show(write_help);
}

int ff_cli_show_words_help(void)
{
    return show(write_words_help);
}

int ff_cli_show_version(void)
{
    return show(write_version);
}
