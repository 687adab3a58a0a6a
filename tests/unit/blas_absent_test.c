/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices where the library was built without OpenBLAS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <forkfold.h>

static void product_is_refused_with_what_to_do(void **state)
{
    double numbers[] = {1, 2, 3, 4};
    forkfold_matrix matrix = forkfold_matrix_of(numbers, FORKFOLD_F64, 2, 2);
    forkfold_matrix narrow = forkfold_matrix_of(numbers, FORKFOLD_F64, 2, 1);
    forkfold_pool *pool = NULL;

    (void)state;
    assert_int_equal(forkfold_pool_open(&pool, NULL, NULL, 0), 0);
    assert_int_equal(forkfold_multiply_matrices(pool, &matrix, &matrix, &matrix),
                     FORKFOLD_E_UNSUPPORTED);
    assert_non_null(strstr(forkfold_pool_message(pool), "-Dblas=enabled"));
    assert_true(numbers[0] == 1 && numbers[3] == 4);
    /* What is wrong in any case comes first. */
    assert_int_equal(forkfold_multiply_matrices(pool, &narrow, &matrix, &matrix),
                     FORKFOLD_E_INVALID);
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(product_is_refused_with_what_to_do)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
