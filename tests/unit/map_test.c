/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "platform/map.h"

/* Whether nothing lies in a range of whole pages. */
static bool is_unmapped(void *address, size_t bytes)
{
    void *mapped =
        mmap(address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (mapped != MAP_FAILED)
        munmap(mapped, bytes);
    return mapped == address;
}

static void growing_array_keeps_its_bytes_and_gives_old_memory_back(void **state)
{
    enum { LARGE = 2 << 20 };
    static const size_t sizes[] = {1,          100,       LARGE - 1,     LARGE,         LARGE + 1,
                                   LARGE + 16, 2 * LARGE, 3 * LARGE + 5, 7 * LARGE - 1, 7 * LARGE};
    unsigned char *array = NULL;
    size_t bytes = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        unsigned char *old = array;

        array = ff_map_grow(array, bytes, sizes[i]);
        assert_non_null(array);
        if (bytes >= LARGE && old != array)
            assert_true(is_unmapped(old, bytes));
        for (size_t at = 0; at < bytes; at += 1 + at / 50)
            assert_int_equal(array[at], (unsigned char)(at * 7));
        for (size_t at = 0; at < sizes[i]; at++)
            array[at] = (unsigned char)(at * 7);
        bytes = sizes[i];
    }
    ff_map_free(array, bytes);
    assert_true(is_unmapped(array, bytes));
    ff_map_free(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growing_array_keeps_its_bytes_and_gives_old_memory_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
