/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing down, inside a dying worker, what it dies of.
 *
 * The handler stores signal and address first and then one frame after the
 * other, each counted once it is there: whatever part of the process is broken,
 * the record is valid up to where the handler came.  It allocates nothing.
 * Names and lines are looked up later, in the driver (backtrace.h).
 */
#ifndef FF_POOL_CRASH_H
#define FF_POOL_CRASH_H

#include "pool/shared.h"

/* Installs the handlers of this process. */
void ff_crash_install(struct ff_crash *record);

#endif
