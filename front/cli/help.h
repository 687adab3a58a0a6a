/* SPDX-License-Identifier: Apache-2.0 */
/* What the command says about itself, on stdout.  All return an exit code. */
#ifndef FF_CLI_HELP_H
#define FF_CLI_HELP_H

int ff_cli_show_help(void);
int ff_cli_show_words_help(void);
int ff_cli_show_version(void);

#endif
