/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "text.h"
#include "writer.h"

static void write_line(const char *text)
{
    char buffer[1024];
    struct ff_cli_writer writer;

    ff_cli_writer_start(&writer, STDERR_FILENO, buffer, sizeof(buffer));
    ff_cli_write_text(&writer, "forkfold: ");
    ff_cli_write_safe(&writer, text, strlen(text));
    ff_cli_write_text(&writer, "\n");
    (void)ff_cli_writer_flush(&writer); /* an unwritable stderr leaves nowhere to say so */
}

static void write_message(const char *format, va_list arguments)
{
    char *text;

    if (vasprintf(&text, format, arguments) < 0) {
        write_line("out of memory while writing a message");
        return;
    }
    write_line(text);
    free(text);
}

void ff_cli_message(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_message(format, arguments);
    va_end(arguments);
}

int ff_cli_usage_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_message(format, arguments);
    va_end(arguments);
    return FF_CLI_USAGE;
}

int ff_cli_no_memory(void)
{
    ff_cli_message("out of memory; end other programs or give fewer paths at a time");
    return FF_CLI_UNFINISHED;
}
