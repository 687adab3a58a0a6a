/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for the addresses that a dying worker wrote down.
 *
 * Looked up in this process's own mappings: the worker was a fork of the same image, so its code
 * lay at the same addresses.  The tables are loaded at the first use and cost tens of milliseconds.
 */
#ifndef FF_POOL_BACKTRACE_H
#define FF_POOL_BACKTRACE_H

#include "pool/shared.h"

struct ff_symbols;

/* Never fails: without tables the lines hold addresses only. */
struct ff_symbols *ff_symbols_open(void);
void ff_symbols_close(struct ff_symbols *symbols);

/*
 * The frames of a crash as lines "#0 function at file:line", separated by
 * newlines, in memory that the caller frees; NULL when there are no frames.
 */
char *ff_backtrace_text(struct ff_symbols *symbols, const struct ff_crash *crash);

#endif
