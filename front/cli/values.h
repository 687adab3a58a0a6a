/* SPDX-License-Identifier: Apache-2.0 */
/* The values that options take, read independently of the locale. */
#ifndef FF_CLI_VALUES_H
#define FF_CLI_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits and nothing else. */
bool ff_cli_parse_number(const char *text, uint64_t *number);

/* A decimal number with ms, s, m or h; without a unit, seconds.  At most INT64_MAX nanoseconds. */
bool ff_cli_parse_duration(const char *text, uint64_t *nanoseconds);

/* A decimal number with K, M or G (powers of 1024, either case) or without.  At most INT64_MAX. */
bool ff_cli_parse_size(const char *text, uint64_t *bytes);

/*
 * The one of count names that was most likely meant by word, or NULL when none
 * is near: few insertions, deletions, replacements and swaps of neighbours apart.
 */
const char *ff_cli_nearest(const char *word, const char *const *names, size_t count);

#endif
