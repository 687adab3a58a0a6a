/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fence for two processes that each store one word and then read the other's, where one of them does
 * so for every item and the other hardly ever: the latter pays for both.
 */
#ifndef FF_PLATFORM_BARRIER_H
#define FF_PLATFORM_BARRIER_H

/* From here on the calling process, which has one thread, heeds what others send. */
void ff_barrier_heed(void);

/*
 * Of each process that heeds it, what it stored before this returns is visible, or else what it reads
 * behind that store is not older than what the caller had stored before it called.  Takes microseconds.
 * Where the kernel is older than 4.16, or refuses, both may still be true late by what a processor
 * takes to make a store visible: nanoseconds, but nobody promises them.
 */
void ff_barrier_send(void);

#endif
