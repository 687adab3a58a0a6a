/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the code under test calls in place of atomic operations.  Each is a point at which another
 * process may go on, or this one may die.  Outside of the processes of a model, as when a scenario
 * is set up, they just access memory.
 */
#ifndef FF_TESTS_MODEL_ACCESS_H
#define FF_TESTS_MODEL_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

uint64_t model_load(const volatile void *word, unsigned bytes, int order);
void model_store(volatile void *word, unsigned bytes, uint64_t value, int order);
uint64_t model_fetch_add(volatile void *word, unsigned bytes, uint64_t value, int order);
uint64_t model_fetch_or(volatile void *word, unsigned bytes, uint64_t value, int order);
uint64_t model_exchange(volatile void *word, unsigned bytes, uint64_t value, int order);
bool model_swap(volatile void *word, unsigned bytes, uint64_t *expected, uint64_t value,
                bool is_weak, int order);
void model_fence(int order);

#endif
