/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *forkfold_reason_name(enum forkfold_reason reason)
{
    switch (reason) {
    case FORKFOLD_REASON_SYSTEM:
        return "system";
    case FORKFOLD_REASON_DECODE:
        return "decode";
    case FORKFOLD_REASON_CHANGED:
        return "changed";
    case FORKFOLD_REASON_LIMIT:
        return "limit";
    case FORKFOLD_REASON_SIGNAL:
        return "signal";
    case FORKFOLD_REASON_EXIT:
        return "exit";
    case FORKFOLD_REASON_TIMEOUT:
        return "timeout";
    case FORKFOLD_REASON_MEMORY:
        return "memory";
    case FORKFOLD_REASON_ERROR:
        return "error";
    }
    return "unknown";
}

char *ff_failure_text(const char *format, ...)
{
    va_list arguments;
    char *text;
    int length;

    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return length < 0 ? NULL : text;
}

static char *describe_signal(const struct ff_quarantine *record)
{
    if (record->crash.has_address)
        return ff_failure_text("a worker died of signal %d (%s) at address 0x%llx", record->signal,
                               strsignal(record->signal),
                               (unsigned long long)record->crash.address);
    return ff_failure_text("a worker died of signal %d (%s)", record->signal,
                           strsignal(record->signal));
}

static char *describe_timeout(const struct ff_quarantine *record)
{
    if (record->limit_ns == 0)
        return ff_failure_text("it took longer than the timeout");
    return ff_failure_text("it took longer than the timeout of %g s",
                           (double)record->limit_ns / 1e9);
}

char *ff_failure_describe(const struct ff_quarantine *record)
{
    switch (record->reason) {
    case FORKFOLD_REASON_TIMEOUT:
        return describe_timeout(record);
    case FORKFOLD_REASON_MEMORY:
        if (record->crash.error != 0)
            return ff_failure_text("a worker ran out of memory");
        return ff_failure_text("a worker was killed, most likely for using too much memory");
    case FORKFOLD_REASON_SIGNAL:
        return describe_signal(record);
    default:
        if (record->crash.error != 0)
            return ff_failure_text("a worker gave up: %s", record->crash.message);
        return ff_failure_text("a worker exited with code %d", record->exit_code);
    }
}
