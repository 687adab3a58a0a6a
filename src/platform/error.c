/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/error.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

int ff_error_set(struct ff_error *error, int code, const char *format, ...)
{
    if (error == NULL)
        return code;
    if (error->code == 0) {
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(error->message, sizeof(error->message), format, arguments);
        va_end(arguments);
        error->code = code;
    }
    return error->code;
}

const char *forkfold_strerror(int code)
{
    switch (code) {
    case FORKFOLD_OK:
        return "no error";
    case FORKFOLD_E_INVALID:
        return "invalid argument";
    case FORKFOLD_E_NOT_FOUND:
        return "no such path";
    case FORKFOLD_E_MEMORY:
        return "out of memory or address space";
    case FORKFOLD_E_SYSTEM:
        return "system call failed";
    case FORKFOLD_E_BUSY:
        return "pool is busy";
    case FORKFOLD_E_FORKED:
        return "pool belongs to another process";
    case FORKFOLD_E_DEADLINE:
        return "deadline passed";
    case FORKFOLD_E_CANCELLED:
        return "cancelled";
    case FORKFOLD_E_STOPPED:
        return "stopped at a failed input";
    case FORKFOLD_E_CRASH_LOOP:
        return "workers die over and over";
    case FORKFOLD_E_SUPERVISOR:
        return "supervisor lost";
    case FORKFOLD_E_DAMAGED:
        return "partial is damaged";
    case FORKFOLD_E_LIMIT:
        return "limit reached";
    case FORKFOLD_E_PENDING:
        return "not done yet";
    case FORKFOLD_E_FAILED:
        return "the item failed";
    case FORKFOLD_E_RANGE:
        return "result out of range";
    case FORKFOLD_E_ENDED:
        return "the queue has ended";
    case FORKFOLD_E_STALLED:
        return "nothing is in progress that could help";
    case FORKFOLD_E_UNSUPPORTED:
        return "not supported here";
    case FORKFOLD_E_INITIALIZER:
        return "initializer failed";
    case FORKFOLD_E_SPILL:
        return "what left memory cannot be written to disk or read again";
    default:
        return "unknown error";
    }
}
