/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first cause of a failure, carried from where it happened to whoever
 * tells the user.  Later errors, often consequences, do not overwrite it.
 */
#ifndef FF_PLATFORM_ERROR_H
#define FF_PLATFORM_ERROR_H

#include <forkfold/error.h>

enum { FF_ERROR_MESSAGE_BYTES = 512 };

struct ff_error {
    int code; /* enum forkfold_error; 0 = none yet */
    char message[FF_ERROR_MESSAGE_BYTES];
};

/*
 * Records code and the formatted sentence unless an earlier cause is held,
 * and returns the code that is held, so that `return ff_error_set(...)` works.
 * error may be NULL.
 */
int ff_error_set(struct ff_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
