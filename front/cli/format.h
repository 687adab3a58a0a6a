/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shapes of a result for programs.  Each holds nothing that differs between
 * two runs over the same inputs.
 *
 * Each function returns 0, or the forkfold_error code with which the words
 * could not be read to their end.  Errors of writing stick to the writer.
 */
#ifndef FF_CLI_FORMAT_H
#define FF_CLI_FORMAT_H

#include <forkfold.h>

#include "selection.h"
#include "writer.h"

typedef int ff_cli_format_words(struct ff_cli_writer *writer, forkfold_words *words,
                                struct ff_cli_selection selection);

/* "count<TAB>word" lines.  No word holds a tab or a newline: both are white space. */
ff_cli_format_words ff_cli_format_tsv;

/* RFC 4180 with the header "count,word", but lines end in a newline alone. */
ff_cli_format_words ff_cli_format_csv;

/* One object: {"words":[{"word":"the","count":3},...],"totals":{...}}. */
ff_cli_format_words ff_cli_format_json;

/* One object a line: {"count":3,"word":"the"}. */
ff_cli_format_words ff_cli_format_ndjson;

#endif
