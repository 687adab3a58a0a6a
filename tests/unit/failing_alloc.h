/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations that fail on request.  For tests that are linked with
 * --wrap=malloc, --wrap=calloc and --wrap=realloc; include it in one file.
 */
#ifndef FF_TEST_FAILING_ALLOC_H
#define FF_TEST_FAILING_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

/* How many allocations succeed before all fail; negative: none fails. */
static long allocations_left = -1;

/* How many were asked for. */
static long allocations_asked;

static bool allocation_allowed(void)
{
    allocations_asked++;
    if (allocations_left == 0)
        return false;
    if (allocations_left > 0)
        allocations_left--;
    return true;
}

void *__wrap_malloc(size_t bytes)
{
    return allocation_allowed() ? __real_malloc(bytes) : NULL;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return allocation_allowed() ? __real_calloc(count, bytes) : NULL;
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return allocation_allowed() ? __real_realloc(old, bytes) : NULL;
}

#endif
