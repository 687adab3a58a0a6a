/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named points at which a test build ends the process that reaches them.
 *
 * Every step of a protocol between processes has one.  FORKFOLD_KILL says
 * where to die, as "POINT:HOW:N": at the N-th time that any process of the
 * pool passes POINT ("*" = any point), it dies by HOW, one of kill, segv,
 * exit, stop (SIGSTOP; the process stays) or hang.  Other builds contain
 * nothing of this.
 */
#ifndef FF_PLATFORM_KILL_POINT_H
#define FF_PLATFORM_KILL_POINT_H

#ifdef FF_KILL_POINTS
/* Reads FORKFOLD_KILL; before the forks of every pool. */
void ff_kill_points_open(void);
void ff_kill_point(const char *point);
#define FF_KILL_POINT(point) ff_kill_point(point)
#else
static inline void ff_kill_points_open(void)
{
}
#define FF_KILL_POINT(point) ((void)0)
#endif

#endif
