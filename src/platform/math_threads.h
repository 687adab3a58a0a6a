/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of mathematical libraries.  Every worker with as many threads as there are CPUs would be
 * slower than one with a single thread, so workers have one, unless the user says how many.
 *
 * A library that the host has loaded has to be told before the fork: in the child it would start
 * its threads in order to be told.  What workers load later reads the environment.
 */
#ifndef FF_PLATFORM_MATH_THREADS_H
#define FF_PLATFORM_MATH_THREADS_H

#include <stdbool.h>

/* Copies of OpenBLAS in one process: that of the system, and what Python packages bring along. */
enum { FF_MATH_LIBRARIES_MAX = 4 };

struct ff_math_threads {
    unsigned count;
    struct {
        void (*set)(int threads);
        int threads; /* before */
    } libraries[FF_MATH_LIBRARIES_MAX];
};

/* Whether the environment says how many threads OpenBLAS has. */
bool ff_math_threads_are_named(void);

/* Around a fork: the loaded copies of OpenBLAS have one thread in between. */
void ff_math_threads_hold(struct ff_math_threads *held);
void ff_math_threads_release(const struct ff_math_threads *held);

/* In the child: libraries that it loads, or its children load, have one thread each. */
void ff_math_threads_name_one(void);

#endif
