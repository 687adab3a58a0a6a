/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between processes, and the open files that come with them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/channel.h"

enum { WAIT = 1, DO_NOT_WAIT = 0 };

/* In a process of its own; a test that answers 0 has passed. */
static void assert_child_passes(int (*test)(void))
{
    int status = -1;
    pid_t child = fork();

    if (child == 0)
        _exit(test());
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void close_both(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

static void message_arrives_without_a_descriptor(void **state)
{
    uint64_t sent = 0x0123456789abcdef;
    uint64_t got = 0;
    int ends[2];
    int fd = 5;

    (void)state;
    assert_int_equal(ff_channel_open(ends), 0);
    for (int from = 0; from < 2; from++) {
        assert_int_equal(ff_channel_send(ends[from], &sent, sizeof(sent), -1), 0);
        assert_int_equal(ff_channel_receive(ends[!from], &got, sizeof(got), &fd, WAIT), 1);
        assert_int_equal(got, sent);
        assert_int_equal(fd, -1);
    }
    close_both(ends);
}

static void messages_arrive_one_by_one_and_in_order(void **state)
{
    int ends[2];
    int got;
    int fd;

    (void)state;
    assert_int_equal(ff_channel_open(ends), 0);
    for (int number = 0; number < 3; number++)
        assert_int_equal(ff_channel_send(ends[0], &number, sizeof(number), -1), 0);
    for (int number = 0; number < 3; number++) {
        assert_int_equal(ff_channel_receive(ends[1], &got, sizeof(got), &fd, DO_NOT_WAIT), 1);
        assert_int_equal(got, number);
    }
    close_both(ends);
}

static void descriptor_arrives_with_its_message(void **state)
{
    int ends[2];
    int ways[2];
    int sent = 7;
    int got = 0;
    int fd = -1;
    char byte = 0;

    (void)state;
    assert_int_equal(ff_channel_open(ends), 0);
    assert_int_equal(pipe(ways), 0);
    assert_int_equal(ff_channel_send(ends[0], &sent, sizeof(sent), ways[1]), 0);
    close(ways[1]);
    assert_int_equal(ff_channel_receive(ends[1], &got, sizeof(got), &fd, WAIT), 1);
    assert_int_equal(got, sent);
    assert_true(fd > STDERR_FILENO);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(read(ways[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(fd);
    close(ways[0]);
    close_both(ends);
}

static bool is_out_of_the_way(int fd)
{
    return fd > STDERR_FILENO && fcntl(fd, F_GETFD) == FD_CLOEXEC;
}

static int open_without_standard_descriptors(void)
{
    int ends[2];

    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        close(fd);
    if (ff_channel_open(ends) != 0)
        return 1;
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return 2;
    return is_out_of_the_way(ends[0]) && is_out_of_the_way(ends[1]) ? 0 : 3;
}

static void ends_are_no_standard_descriptors(void **state)
{
    (void)state;
    assert_child_passes(open_without_standard_descriptors);
}

/* What the host prints to a descriptor that it has closed must not get into a spill file. */
static int receive_without_standard_descriptors(void)
{
    int ends[2];
    int message = 0;
    int fd = -1;

    for (int closed = 0; closed <= STDERR_FILENO; closed++)
        close(closed);
    if (ff_channel_open(ends) != 0 || ff_channel_send(ends[0], &message, sizeof(message), ends[0]))
        return 1;
    if (ff_channel_receive(ends[1], &message, sizeof(message), &fd, WAIT) != 1)
        return 2;
    return is_out_of_the_way(fd) ? 0 : 3;
}

static void received_descriptor_is_no_standard_descriptor(void **state)
{
    (void)state;
    assert_child_passes(receive_without_standard_descriptors);
}

static void closed_end_is_the_end(void **state)
{
    int ends[2];
    int message = 1;
    int fd;

    (void)state;
    assert_int_equal(ff_channel_open(ends), 0);
    assert_int_equal(ff_channel_send(ends[0], &message, sizeof(message), -1), 0);
    close(ends[0]);
    assert_int_equal(ff_channel_receive(ends[1], &message, sizeof(message), &fd, WAIT), 1);
    assert_int_equal(ff_channel_receive(ends[1], &message, sizeof(message), &fd, WAIT), 0);
    assert_int_equal(ff_channel_receive(ends[1], &message, sizeof(message), &fd, DO_NOT_WAIT), 0);
    assert_int_equal(fd, -1);
    close(ends[1]);
}

static void end_closed_with_a_message_unread_is_the_end_too(void **state)
{
    int ends[2];
    int message = 1;
    int fd;

    (void)state;
    assert_int_equal(ff_channel_open(ends), 0);
    assert_int_equal(ff_channel_send(ends[0], &message, sizeof(message), -1), 0);
    close(ends[1]);
    assert_int_equal(ff_channel_receive(ends[0], &message, sizeof(message), &fd, WAIT), 0);
    close(ends[0]);
}

/* SIGPIPE would end the test. */
static void sending_to_a_closed_end_raises_no_signal(void **state)
{
    int ends[2];
    int message = 1;

    (void)state;
    assert_int_equal(ff_channel_open(ends), 0);
    close(ends[1]);
    assert_int_equal(ff_channel_send(ends[0], &message, sizeof(message), -1), -1);
    assert_int_equal(errno, EPIPE);
    close(ends[0]);
}

static void sending_to_a_full_channel_does_not_wait(void **state)
{
    int ends[2];
    int message = 1;
    int code;

    (void)state;
    assert_int_equal(ff_channel_open(ends), 0);
    do
        code = ff_channel_send(ends[0], &message, sizeof(message), -1);
    while (code == 0);
    assert_int_equal(errno, EAGAIN);
    close_both(ends);
}

static void shorter_message_is_refused(void **state)
{
    int ends[2];
    char message[8] = "forkfold";
    int fd;

    (void)state;
    assert_int_equal(ff_channel_open(ends), 0);
    assert_int_equal(ff_channel_send(ends[0], message, 7, -1), 0);
    assert_int_equal(ff_channel_receive(ends[1], message, 8, &fd, WAIT), -1);
    assert_int_equal(errno, EPROTO);
    close_both(ends);
}

static void longer_message_is_refused(void **state)
{
    int ends[2];
    char message[8] = "forkfold";
    int fd;

    (void)state;
    assert_int_equal(ff_channel_open(ends), 0);
    assert_int_equal(ff_channel_send(ends[0], message, 8, -1), 0);
    assert_int_equal(ff_channel_receive(ends[1], message, 7, &fd, WAIT), -1);
    assert_int_equal(errno, EPROTO);
    close_both(ends);
}

/* The descriptor that came with it would belong to nobody. */
static void refused_message_leaves_no_descriptor(void **state)
{
    int ends[2];
    char message[8] = "forkfold";
    int next;
    int fd;

    (void)state;
    assert_int_equal(ff_channel_open(ends), 0);
    assert_int_equal(ff_channel_send(ends[0], message, 7, ends[0]), 0);
    next = dup(ends[0]);
    close(next);
    assert_int_equal(ff_channel_receive(ends[1], message, 8, &fd, WAIT), -1);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(next, F_GETFD), -1);
    close_both(ends);
}

static void empty_channel_would_block(void **state)
{
    int ends[2];
    int message;
    int fd = 5;

    (void)state;
    assert_int_equal(ff_channel_open(ends), 0);
    assert_int_equal(ff_channel_receive(ends[0], &message, sizeof(message), &fd, DO_NOT_WAIT), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fd, -1);
    close_both(ends);
}

/* Whatever is open now stays so, and nothing more can be opened. */
static int forbid_descriptors(void)
{
    struct rlimit limit;
    int next = dup(STDIN_FILENO);

    if (next < 0 || close(next) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -1;
    limit.rlim_cur = (rlim_t)next;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

static int receive_at_the_limit(void)
{
    int ends[2];
    int sent = 7;
    int got = 0;
    int fd = 5;

    if (ff_channel_open(ends) != 0 || forbid_descriptors() != 0)
        return 1;
    if (ff_channel_send(ends[0], &sent, sizeof(sent), ends[0]) != 0)
        return 2;
    if (ff_channel_receive(ends[1], &got, sizeof(got), &fd, WAIT) != 1)
        return 3;
    return got == sent && fd == -1 ? 0 : 4;
}

static void receiver_at_its_limit_gets_the_message_without_the_descriptor(void **state)
{
    (void)state;
    assert_child_passes(receive_at_the_limit);
}

static int open_at_the_limit(void)
{
    int ends[2] = {-7, -7};

    if (forbid_descriptors() != 0 || ff_channel_open(ends) != -1)
        return 1;
    return errno == EMFILE && ends[0] == -7 && ends[1] == -7 ? 0 : 2;
}

static void channel_cannot_be_opened_at_the_limit(void **state)
{
    (void)state;
    assert_child_passes(open_at_the_limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_arrives_without_a_descriptor),
        cmocka_unit_test(messages_arrive_one_by_one_and_in_order),
        cmocka_unit_test(descriptor_arrives_with_its_message),
        cmocka_unit_test(ends_are_no_standard_descriptors),
        cmocka_unit_test(received_descriptor_is_no_standard_descriptor),
        cmocka_unit_test(closed_end_is_the_end),
        cmocka_unit_test(end_closed_with_a_message_unread_is_the_end_too),
        cmocka_unit_test(sending_to_a_closed_end_raises_no_signal),
        cmocka_unit_test(sending_to_a_full_channel_does_not_wait),
        cmocka_unit_test(shorter_message_is_refused),
        cmocka_unit_test(longer_message_is_refused),
        cmocka_unit_test(refused_message_leaves_no_descriptor),
        cmocka_unit_test(empty_channel_would_block),
        cmocka_unit_test(receiver_at_its_limit_gets_the_message_without_the_descriptor),
        cmocka_unit_test(channel_cannot_be_opened_at_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
