/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults for the tests: a test build can be told to crash, hang, exit, leak
 * or scribble while it works on chosen inputs.
 *
 * FORKFOLD_FAULT is "ACTION:POINT:GLOB": on inputs whose path matches GLOB
 * (fnmatch), at POINT (begin, middle: after the bytes were read, end), do
 * ACTION: segv, null (call of NULL), abort, overflow (the stack), kill, exit, hang, leak (until memory
 * is refused), scribble (over a neighbour's segment), smear (over the own sealed partial, then die).
 * Other builds contain nothing of this.
 */
#ifndef FF_JOBS_FAULT_H
#define FF_JOBS_FAULT_H

#ifdef FF_KILL_POINTS
struct ff_worker;

/* Which input the points that follow are about: its path in two parts, the first of which may be NULL. */
void ff_fault_item(const char *folder, const char *name);
void ff_fault_point(struct ff_worker *worker, const char *point);
#define FF_FAULT_ITEM(folder, name) ff_fault_item(folder, name)
#define FF_FAULT(worker, point)     ff_fault_point(worker, point)
#else
#define FF_FAULT_ITEM(folder, name) ((void)0)
#define FF_FAULT(worker, point)     ((void)0)
#endif

#endif
