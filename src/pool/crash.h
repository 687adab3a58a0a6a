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

/*
 * Installs them again, in front of those that are there now.  A signal goes through both, and what
 * the others have written to fd becomes the text of the record: if they hand on to handlers that
 * this has installed before, those finish it.
 */
void ff_crash_install_before(int text_fd);

#endif
