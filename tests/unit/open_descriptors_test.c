/* SPDX-License-Identifier: Apache-2.0 */
/* The list of what a process has open, with memory for it and without. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "platform/process.h"

/* More than the list has room for at first. */
enum { MANY = 100 };

static void open_many(int *fds)
{
    for (unsigned i = 0; i < MANY; i++) {
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(fds[i] >= 0);
    }
}

static void close_many(const int *fds)
{
    for (unsigned i = 0; i < MANY; i++)
        close(fds[i]);
}

static bool is_among(int fd, const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (fds[i] == fd)
            return true;
    return false;
}

static void all_that_are_open_are_listed(void **state)
{
    int fds[MANY];
    unsigned count;
    int *listed;

    (void)state;
    open_many(fds);
    listed = ff_process_open_fds(&count);
    assert_non_null(listed);
    for (unsigned i = 0; i < MANY; i++)
        assert_true(is_among(fds[i], listed, count));
    for (unsigned i = 0; i < count; i++)
        assert_true(listed[i] > STDERR_FILENO && fcntl(listed[i], F_GETFD) >= 0);
    free(listed);
    close_many(fds);
}

static void without_memory_there_is_no_list_and_nothing_on_it(void **state)
{
    int fds[MANY];
    int *listed = NULL;

    (void)state;
    open_many(fds);
    for (long left = 0; listed == NULL; left++) {
        unsigned count = 1;

        assert_true(left < 16);
        allocations_left = left;
        listed = ff_process_open_fds(&count);
        allocations_left = -1;
        assert_int_equal(count > 0, listed != NULL);
    }
    free(listed);
    close_many(fds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_are_open_are_listed),
        cmocka_unit_test(without_memory_there_is_no_list_and_nothing_on_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
