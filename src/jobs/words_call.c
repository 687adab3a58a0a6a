/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "jobs/words_counting.h"

/* An item that had to be given up, unlike a file, leaves no result. */
static int fail_folding(struct ff_counting *counting)
{
    const struct ff_quarantine *record = &counting->pool->layout.quarantine[0];

    if (record->signal != 0)
        return ff_error_set(&counting->pool->error, FORKFOLD_E_SYSTEM,
                            "workers died while folding, of signal %d (%s); there is no result",
                            record->signal, strsignal(record->signal));
    return ff_error_set(&counting->pool->error, FORKFOLD_E_SYSTEM,
                        "workers died while folding: %s; there is no result",
                        record->crash.message[0] != '\0' ? record->crash.message
                                                         : "they were ended from outside");
}

int ff_words_run_call(struct ff_counting *counting, const struct ff_job *job, const void *context,
                      uint64_t item_count)
{
    struct ff_call_options call = {.job = job,
                                   .context = context,
                                   .measure = counting->options->measure != 0,
                                   .deadline_at_ns = counting->deadline_at_ns,
                                   .attempts = ff_words_attempts(counting->options),
                                   .max_deaths = ff_words_max_deaths(counting->options)};
    uint64_t timeout_ns = ff_words_timeout_ns(counting->options);
    int code = 0;

    /* How long an item may take depends on how much was counted; housekeeping it is told to bound. */
    if (timeout_ns != 0)
        call.housekeeping_ns = timeout_ns + FF_HOUSEKEEPING_NS;
    ff_call_begin(counting->pool, &call);
    if (item_count > 0)
        code = ff_call_post(counting->pool, (struct ff_task){.count = item_count}, 1);
    if (code < 0)
        return code;
    ff_call_close(counting->pool);
    do
        code = ff_call_step(counting->pool, true);
    while (code == 0);
    if (code > 0)
        code = ff_call_verify(counting->pool);
    if (code == 0)
        ff_call_add_stats(counting->pool, &counting->words->stats);
    if (code == 0 && ff_observe(&counting->pool->layout.supervisor->quarantined) != 0)
        return fail_folding(counting);
    return code;
}
