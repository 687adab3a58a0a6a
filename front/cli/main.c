/* SPDX-License-Identifier: Apache-2.0 */
/* The command forkfold: puts the process in order and hands over to a command. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "help.h"
#include "message.h"
#include "values.h"

/*
 * A file that is opened later must not land on a closed standard descriptor,
 * where messages would be written into it.  The wrong direction makes every
 * use of the descriptor fail, as it should.
 */
static void occupy_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            exit(FF_CLI_UNFINISHED);
    }
}

/* Ends as the tools do that know nothing of SIGPIPE: shells then stay quiet. */
static void die_of_closed_pipe(void)
{
    sigset_t only_pipe;

    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&only_pipe);
    sigaddset(&only_pipe, SIGPIPE);
    sigprocmask(SIG_UNBLOCK, &only_pipe, NULL);
    raise(SIGPIPE);
}

static int unknown_command(const char *name)
{
    static const char *const names[] = {"words", "help"};
    const char *nearest = ff_cli_nearest(name, names, sizeof(names) / sizeof(names[0]));

    if (nearest != NULL)
        return ff_cli_usage_error("unknown command '%s'; did you mean 'forkfold %s'? "
                                  "(see 'forkfold --help')",
                                  name, nearest);
    if (access(name, F_OK) == 0)
        return ff_cli_usage_error("unknown command '%s'; to count the words there: "
                                  "forkfold words '%s'",
                                  name, name);
    return ff_cli_usage_error("unknown command '%s'; see 'forkfold --help'", name);
}

static int unknown_option(const char *option)
{
    static const char *const names[] = {"--help", "--version"};
    const char *nearest = ff_cli_nearest(option, names, sizeof(names) / sizeof(names[0]));

    if (nearest != NULL)
        return ff_cli_usage_error("unknown option '%s'; did you mean '%s'? (see 'forkfold --help')",
                                  option, nearest);
    return ff_cli_usage_error("unknown option '%s'; options follow the command: "
                              "forkfold words [OPTION]... PATH...",
                              option);
}

static int help(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "help") == 0)
        return ff_cli_show_help();
    if (strcmp(argv[1], "words") == 0)
        return ff_cli_show_words_help();
    return unknown_command(argv[1]);
}

static int dispatch(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : NULL;

    if (first == NULL)
        return ff_cli_usage_error("no command given; forkfold words PATH... counts words "
                                  "(see 'forkfold --help')");
    if (strcmp(first, "words") == 0)
        return ff_cli_words(argc - 1, argv + 1);
    if (strcmp(first, "help") == 0)
        return help(argc - 1, argv + 1);
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0)
        return ff_cli_show_help();
    if (strcmp(first, "--version") == 0 || strcmp(first, "-V") == 0)
        return ff_cli_show_version();
    return *first == '-' ? unknown_option(first) : unknown_command(first);
}

int main(int argc, char **argv)
{
    int code;

    occupy_standard_descriptors();
    /* A closed pipe and a limit of file sizes are errors of write(), so that files are cleared up. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    code = dispatch(argc, argv);
    if (code == FF_CLI_CLOSED_PIPE)
        die_of_closed_pipe();
    return code;
}
