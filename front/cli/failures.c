/* SPDX-License-Identifier: Apache-2.0 */
#include "failures.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

/* Calls act with each line of a backtrace. */
static void for_each_line(struct ff_cli_writer *writer, const char *lines,
                          void (*act)(struct ff_cli_writer *, const char *, size_t, bool))
{
    bool first = true;

    while (*lines != '\0') {
        size_t length = strcspn(lines, "\n");

        if (length > 0) {
            act(writer, lines, length, first);
            first = false;
        }
        lines += length + (lines[length] == '\n');
    }
}

static void show_line(struct ff_cli_writer *writer, const char *line, size_t length, bool first)
{
    (void)first;
    ff_cli_write_text(writer, "    ");
    ff_cli_write_safe(writer, line, length);
    ff_cli_write_text(writer, "\n");
}

static void show_failure(struct ff_cli_writer *writer, const forkfold_failure *failure,
                         bool verbose)
{
    ff_cli_write_text(writer, "forkfold: ");
    ff_cli_write_safe(writer, failure->path, failure->path_bytes);
    ff_cli_write_text(writer, ": ");
    ff_cli_write_safe(writer, failure->detail, strlen(failure->detail));
    if (verbose && failure->attempts > 1) {
        ff_cli_write_text(writer, " (tried ");
        ff_cli_write_number(writer, failure->attempts);
        ff_cli_write_text(writer, " times)");
    }
    ff_cli_write_text(writer, "\n");
    if (verbose && failure->backtrace != NULL)
        for_each_line(writer, failure->backtrace, show_line);
}

void ff_cli_failures_show(struct ff_cli_writer *writer, const forkfold_words *words, bool verbose)
{
    const forkfold_failure *failure;

    for (size_t i = 0; (failure = forkfold_words_failure(words, i)) != NULL; i++)
        show_failure(writer, failure, verbose);
}

static void write_field(struct ff_cli_writer *writer, const char *name)
{
    ff_cli_write_text(writer, ",\"");
    ff_cli_write_text(writer, name);
    ff_cli_write_text(writer, "\":");
}

static void write_text_field(struct ff_cli_writer *writer, const char *name, const char *text)
{
    write_field(writer, name);
    if (text == NULL)
        ff_cli_write_text(writer, "null");
    else
        ff_cli_write_json_string(writer, text, strlen(text));
}

static void write_number_field(struct ff_cli_writer *writer, const char *name, bool applies,
                               uint64_t number)
{
    write_field(writer, name);
    if (applies)
        ff_cli_write_number(writer, number);
    else
        ff_cli_write_text(writer, "null");
}

static void write_path(struct ff_cli_writer *writer, const forkfold_failure *failure)
{
    ff_cli_write_text(writer, "{\"path\":");
    if (ff_cli_is_utf8(failure->path, failure->path_bytes)) {
        ff_cli_write_json_string(writer, failure->path, failure->path_bytes);
        ff_cli_write_text(writer, ",\"path_bytes\":null");
        return;
    }
    ff_cli_write_text(writer, "null,\"path_bytes\":\"");
    ff_cli_write_hex(writer, failure->path, failure->path_bytes);
    ff_cli_write_text(writer, "\"");
}

static void write_system_error(struct ff_cli_writer *writer, int error)
{
    write_number_field(writer, "errno", error != 0, (uint64_t)error);
    write_text_field(writer, "system_error", error != 0 ? strerror(error) : NULL);
}

static void write_signal(struct ff_cli_writer *writer, int number)
{
    const char *short_name = number != 0 ? sigabbrev_np(number) : NULL;
    char name[32];

    if (short_name != NULL)
        snprintf(name, sizeof(name), "SIG%s", short_name);
    else
        snprintf(name, sizeof(name), "signal %d", number);
    write_number_field(writer, "signal", number != 0, (uint64_t)number);
    write_text_field(writer, "signal_name", number != 0 ? name : NULL);
}

static void write_address(struct ff_cli_writer *writer, const forkfold_failure *failure)
{
    char address[32];

    snprintf(address, sizeof(address), "0x%" PRIx64, failure->address);
    write_text_field(writer, "address", failure->has_address ? address : NULL);
}

static void write_array_item(struct ff_cli_writer *writer, const char *line, size_t length,
                             bool first)
{
    if (!first)
        ff_cli_write_text(writer, ",");
    ff_cli_write_json_string(writer, line, length);
}

static void write_backtrace(struct ff_cli_writer *writer, const char *backtrace)
{
    write_field(writer, "backtrace");
    if (backtrace == NULL) {
        ff_cli_write_text(writer, "null");
        return;
    }
    ff_cli_write_text(writer, "[");
    for_each_line(writer, backtrace, write_array_item);
    ff_cli_write_text(writer, "]");
}

static void write_json_failure(struct ff_cli_writer *writer, const forkfold_failure *failure)
{
    write_path(writer, failure);
    write_text_field(writer, "reason", forkfold_reason_name(failure->reason));
    write_text_field(writer, "detail", failure->detail);
    write_number_field(writer, "byte_offset", failure->byte_offset >= 0,
                       (uint64_t)failure->byte_offset);
    write_system_error(writer, failure->system_error);
    write_signal(writer, failure->signal);
    write_number_field(writer, "exit_code", failure->exit_code >= 0, (uint64_t)failure->exit_code);
    write_address(writer, failure);
    write_backtrace(writer, failure->backtrace);
    write_number_field(writer, "attempts", true, failure->attempts);
    ff_cli_write_text(writer, "}\n");
}

void ff_cli_failures_json(struct ff_cli_writer *writer, const forkfold_words *words)
{
    const forkfold_failure *failure;

    for (size_t i = 0; (failure = forkfold_words_failure(words, i)) != NULL; i++)
        write_json_failure(writer, failure);
}
