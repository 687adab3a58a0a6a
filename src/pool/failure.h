/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of failures, whatever the items are. */
#ifndef FF_POOL_FAILURE_H
#define FF_POOL_FAILURE_H

#include "pool/shared.h"

/* In memory that the caller frees; NULL when there is none. */
char *ff_failure_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Likewise: why an item was given up. */
char *ff_failure_describe(const struct ff_quarantine *record);

#endif
