/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/question.h"

#include <errno.h>

#include "platform/channel.h"
#include "platform/clock.h"
#include "platform/event.h"

struct answer {
    int32_t system_error; /* 0, or why there is no descriptor with it */
};

int ff_question_ask(const struct ff_asker *asker, struct ff_question question, int given, int *fd)
{
    struct answer answer;
    int received = -1;

    if (ff_channel_send(asker->channel, &question, sizeof(question), given) == 0) {
        if (asker->supervisor >= 0 &&
            !ff_wait_readable(asker->channel, ff_clock_ns() + FF_ANSWER_PATIENCE_MS * FF_NS_PER_MS))
            ff_pidfd_kill(asker->supervisor); /* which closes the channel */
        received = ff_channel_receive(asker->channel, &answer, sizeof(answer), fd, 1);
    }
    if (received <= 0) {
        errno = EPIPE;
        return -1;
    }
    errno = answer.system_error;
    return answer.system_error == 0 ? 0 : -1;
}

void ff_question_tell(const struct ff_asker *asker, struct ff_question question)
{
    (void)ff_channel_send(asker->channel, &question, sizeof(question), -1);
}

int ff_question_receive(int channel, struct ff_question *question, int *given)
{
    return ff_channel_receive(channel, question, sizeof(*question), given, 0);
}

void ff_question_answer(int channel, int system_error, int fd)
{
    struct answer answer = {.system_error = system_error};

    /* Who asked waits for one answer, so there is room for it; or is dead. */
    (void)ff_channel_send(channel, &answer, sizeof(answer), fd);
}
