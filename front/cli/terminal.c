/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_DEFAULT = 80 };

size_t ff_cli_terminal_columns(int fd)
{
    struct winsize size;

    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col < 2)
        return COLUMNS_DEFAULT;
    return size.ws_col;
}

bool ff_cli_terminal_is_utf8(void)
{
    /* A locale that is not installed leaves the process in "C", which is not UTF-8. */
    (void)setlocale(LC_CTYPE, "");
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

bool ff_cli_terminal_has_colours(int fd)
{
    const char *refusal = getenv("NO_COLOR");
    const char *type = getenv("TERM");

    if (refusal != NULL && *refusal != '\0')
        return false;
    return type != NULL && *type != '\0' && strcmp(type, "dumb") != 0 && isatty(fd) == 1;
}
