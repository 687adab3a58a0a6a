/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory/region.h"
#include "platform/map.h"

#define MIB ((size_t)1 << 20)

static void areas_are_page_aligned_zeroed_and_apart(void **state)
{
    struct ff_region region;

    (void)state;
    assert_int_equal(ff_region_open(&region, 16 * MIB, MIB), 0);
    struct ff_area a = ff_region_carve(&region, 1);
    struct ff_area b = ff_region_carve(&region, 5000);

    assert_int_equal((uintptr_t)a.base % ff_page_bytes(), 0);
    assert_int_equal(a.bytes, ff_page_bytes());
    assert_ptr_equal(b.base, a.base + a.bytes);
    assert_int_equal(b.base[4999], 0);
    assert_null(ff_region_carve(&region, 16 * MIB).base);
    assert_null(ff_region_carve(&region, SIZE_MAX).base);
    ff_region_close(&region);
}

/* How a child that stores to address ends. */
static int store_in_child(const struct ff_region *region, struct ff_area own, char *address)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* the sanitizers' handler would write a report */
        if (ff_region_restrict(region, &own, 1) != 0)
            _exit(1);
        *(volatile char *)address = 7;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void restricted_child_writes_its_own_area_only(void **state)
{
    struct ff_region region;

    (void)state;
    assert_int_equal(ff_region_open(&region, 16 * MIB, MIB), 0);
    struct ff_area before = ff_region_carve(&region, MIB);
    struct ff_area own = ff_region_carve(&region, MIB);
    struct ff_area after = ff_region_carve(&region, MIB);

    assert_int_equal(store_in_child(&region, own, own.base), 0);
    assert_int_equal(own.base[0], 7);
    assert_int_equal(store_in_child(&region, own, own.base + own.bytes - 1), 0);
    assert_true(WIFSIGNALED(store_in_child(&region, own, own.base - 1)));
    assert_true(WIFSIGNALED(store_in_child(&region, own, own.base + own.bytes)));
    assert_true(WIFSIGNALED(store_in_child(&region, own, before.base)));
    assert_true(WIFSIGNALED(store_in_child(&region, own, after.base)));
    assert_int_equal(before.base[before.bytes - 1], 0);
    assert_int_equal(after.base[0], 0);
    ff_region_close(&region);
}

static void discarded_pages_read_as_zeroes(void **state)
{
    struct ff_region region;

    (void)state;
    assert_int_equal(ff_region_open(&region, 16 * MIB, MIB), 0);
    struct ff_area area = ff_region_carve(&region, MIB);

    memset(area.base, 1, area.bytes);
    ff_map_discard(area.base, area.bytes);
    assert_int_equal(area.base[0], 0);
    assert_int_equal(area.base[area.bytes - 1], 0);
    ff_region_close(&region);
}

static void reservation_shrinks_under_a_limit_of_address_space(void **state)
{
    struct rlimit old;
    struct ff_region region;

    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* their shadow memory does not fit any limit */
#endif
    getrlimit(RLIMIT_AS, &old);
    struct rlimit low = {.rlim_cur = 512 * MIB, .rlim_max = old.rlim_max};

    assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
    int code = ff_region_open(&region, (size_t)1 << 40, MIB);

    setrlimit(RLIMIT_AS, &old);
    assert_int_equal(code, 0);
    assert_in_range(region.bytes, MIB, 128 * MIB);
    ff_region_close(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(areas_are_page_aligned_zeroed_and_apart),
        cmocka_unit_test(restricted_child_writes_its_own_area_only),
        cmocka_unit_test(discarded_pages_read_as_zeroes),
        cmocka_unit_test(reservation_shrinks_under_a_limit_of_address_space),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
