/* SPDX-License-Identifier: Apache-2.0 */
/* How bytes of unknown origin become text that is safe to show or to parse. */
#ifndef FF_CLI_TEXT_H
#define FF_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "writer.h"

bool ff_cli_is_utf8(const char *text, size_t count);

/*
 * Writes text so that it stays on one line and cannot steer a terminal: each
 * byte of a control character, of a character that reorders its neighbours
 * and of ill-formed UTF-8 becomes \xNN.
 */
void ff_cli_write_safe(struct ff_cli_writer *writer, const char *text, size_t count);

/*
 * The columns that this takes on a terminal.  The locale in use says how wide a
 * character is; those that it does not know take one column.
 */
size_t ff_cli_safe_columns(const char *text, size_t count);

/* Writes text safely in at most columns columns; what is cut off becomes an ellipsis. */
void ff_cli_write_safe_cut(struct ff_cli_writer *writer, const char *text, size_t count,
                           size_t columns);

/* A JSON string with its quotes (RFC 8259).  Ill-formed UTF-8 becomes U+FFFD, one a byte. */
void ff_cli_write_json_string(struct ff_cli_writer *writer, const char *text, size_t count);

/* Two lower-case hexadecimal digits a byte. */
void ff_cli_write_hex(struct ff_cli_writer *writer, const char *bytes, size_t count);

enum { FF_CLI_SIZE_TEXT_BYTES = 16 };

/* "512 B", "1.5 GiB": for people; text holds FF_CLI_SIZE_TEXT_BYTES bytes. */
void ff_cli_size_text(char *text, uint64_t bytes);

#endif
