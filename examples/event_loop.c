/* SPDX-License-Identifier: Apache-2.0 */
/* forkfold_pool_fd: one poll() for the pool and for requests, which a counter stands for here. */
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <forkfold.h>

static unsigned asked, answered, sum;

static int square(const forkfold_item *item)
{
    unsigned number = *(const unsigned *)item->arguments[0];

    *(unsigned *)item->result = number * number;
    return 0;
}

/* Runs in this process, while it is in forkfold_pool_dispatch(). */
static void take_answer(forkfold_call *call, void *user)
{
    (void)user;
    if (forkfold_call_failure_count(call) == 0)
        sum += *(const unsigned *)forkfold_call_results(call);
    answered++;
    forkfold_call_close(call);
}

static int take_request(forkfold_pool *pool, int fd)
{
    forkfold_call_options options = {.function = square,
                                     .arrays = {{.data = &asked, .item_bytes = sizeof(asked)}},
                                     .array_count = 1,
                                     .result_bytes = sizeof(unsigned),
                                     .on_done = take_answer};
    uint64_t one;
    forkfold_call *call;

    if (read(fd, &one, sizeof(one)) < 0)
        return 0;
    asked++;
    return forkfold_apply_async(pool, &options, &call);
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    int code = forkfold_pool_open(&pool, NULL, NULL, 0);
    struct pollfd fds[2] = {{eventfd(10, EFD_SEMAPHORE), POLLIN, 0}, {-1, POLLIN, 0}};

    fds[1].fd = code == 0 ? forkfold_pool_fd(pool) : -1;
    while (code == 0 && answered < 10 && poll(fds, 2, -1) > 0)
        code = fds[1].revents != 0 ? forkfold_pool_dispatch(pool) : take_request(pool, fds[0].fd);
    if (code < 0)
        fprintf(stderr, "event_loop: %s\n", forkfold_strerror(code));
    else
        printf("%u answers, sum %u\n", answered, sum);
    return code < 0;
}
