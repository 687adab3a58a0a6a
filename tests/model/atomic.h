/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The atomic verbs of the platform floor, with the model's operations in place of the compiler's: so
 * the verbs themselves are under test, with the memory orders that they name.  All that a model
 * compiles includes this first (-include).
 */
#ifndef FF_TESTS_MODEL_ATOMIC_H
#define FF_TESTS_MODEL_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "access.h"

/* Those that the C library's header defines in terms of the compiler's. */
#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_or_explicit
#undef atomic_exchange_explicit
#undef atomic_compare_exchange_weak_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_thread_fence

#define atomic_load_explicit(word, order) model_load(word, sizeof(*(word)), order)
#define atomic_store_explicit(word, value, order)                                                  \
    model_store(word, sizeof(*(word)), (uint64_t)(value), order)
#define atomic_fetch_add_explicit(word, value, order)                                              \
    model_fetch_add(word, sizeof(*(word)), value, order)
#define atomic_fetch_or_explicit(word, value, order)                                               \
    model_fetch_or(word, sizeof(*(word)), value, order)
#define atomic_exchange_explicit(word, value, order)                                               \
    model_exchange(word, sizeof(*(word)), value, order)
#define atomic_compare_exchange_weak_explicit(word, expected, value, order, failure_order)         \
    model_swap(word, sizeof(*(word)), expected, value, true, order)
#define atomic_compare_exchange_strong_explicit(word, expected, value, order, failure_order)       \
    model_swap(word, sizeof(*(word)), expected, value, false, order)
#define atomic_thread_fence(order) model_fence(order)

/* There is only one of this name in the places where the compiler looks. */
#include "platform/atomic.h"

#endif
