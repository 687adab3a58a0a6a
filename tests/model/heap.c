/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C library's heap for models that are linked with --wrap: within a process of the model, the
 * model's.
 */
#include "model.h"

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void __wrap_free(void *memory);
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void __real_free(void *memory);

static bool is_outside(void)
{
    return model_self() == MODEL_NOBODY;
}

void *__wrap_malloc(size_t bytes)
{
    return is_outside() ? __real_malloc(bytes) : model_allocate(bytes);
}

/* What the model gives is zero. */
void *__wrap_calloc(size_t count, size_t bytes)
{
    return is_outside() ? __real_calloc(count, bytes) : model_allocate(count * bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    return is_outside() ? __real_realloc(memory, bytes) : model_reallocate(memory, bytes);
}

void __wrap_free(void *memory)
{
    if (is_outside())
        __real_free(memory);
    else
        model_free(memory);
}
