/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "platform/error.h"

static void first_cause_is_kept(void **state)
{
    struct ff_error error = {0};

    (void)state;
    assert_int_equal(ff_error_set(&error, FORKFOLD_E_MEMORY, "no room for %d", 3),
                     FORKFOLD_E_MEMORY);
    assert_int_equal(ff_error_set(&error, FORKFOLD_E_SYSTEM, "later"), FORKFOLD_E_MEMORY);
    assert_string_equal(error.message, "no room for 3");
}

static void null_error_still_returns_the_code(void **state)
{
    (void)state;
    assert_int_equal(ff_error_set(NULL, FORKFOLD_E_LIMIT, "x"), FORKFOLD_E_LIMIT);
}

static void every_code_has_a_phrase(void **state)
{
    (void)state;
    for (int code = FORKFOLD_E_SPILL; code <= 0; code++)
        assert_string_not_equal(forkfold_strerror(code), "unknown error");
    assert_string_equal(forkfold_strerror(1), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_cause_is_kept),
        cmocka_unit_test(null_error_still_returns_the_code),
        cmocka_unit_test(every_code_has_a_phrase),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
