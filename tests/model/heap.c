/* SPDX-License-Identifier: Apache-2.0 */
/* A heap for processes of a model, and in place of the C library's where that is wrapped. */
#include <assert.h>
#include <string.h>

#include "engine.h"

enum { HEAP_UNITS = 48, UNIT_BYTES = 64 };

static struct heap {
    uint8_t owner[HEAP_UNITS];  /* of the unit: process + 1, or 0 while it is free */
    uint8_t length[HEAP_UNITS]; /* in units, of what begins here */
    char units[HEAP_UNITS][UNIT_BYTES];
} * heap;

void engine_close_heap(void)
{
    heap = NULL;
}

void model_open_heap(void)
{
    heap = model_take(sizeof(*heap));
}

static void free_unit(unsigned unit)
{
    heap->owner[unit] = heap->length[unit] = 0;
    memset(heap->units[unit], 0, UNIT_BYTES);
}

static bool is_room(unsigned first, unsigned length)
{
    for (unsigned i = 0; i < length; i++)
        if (heap->owner[first + i] != 0)
            return false;
    return true;
}

void *model_allocate(size_t bytes)
{
    unsigned length = bytes > 0 ? (unsigned)((bytes + UNIT_BYTES - 1) / UNIT_BYTES) : 1;
    unsigned first = 0;

    while (first + length <= HEAP_UNITS && !is_room(first, length))
        first++;
    assert(first + length <= HEAP_UNITS);
    for (unsigned i = 0; i < length; i++)
        heap->owner[first + i] = (uint8_t)(model_self() + 1);
    heap->length[first] = (uint8_t)length;
    return heap->units[first];
}

void model_free(void *from)
{
    unsigned first;

    if (from == NULL)
        return;
    first = (unsigned)(((char *)from - heap->units[0]) / UNIT_BYTES);
    for (unsigned i = 0, length = heap->length[first]; i < length; i++)
        free_unit(first + i);
}

void *model_reallocate(void *from, size_t bytes)
{
    void *to = model_allocate(bytes);
    size_t before;

    if (from == NULL)
        return to;
    before = heap->length[((char *)from - heap->units[0]) / UNIT_BYTES] * (size_t)UNIT_BYTES;
    memcpy(to, from, before < bytes ? before : bytes);
    model_free(from);
    return to;
}

/* Nothing of a process's own outlives it. */
void engine_free_all_of(unsigned process)
{
    for (unsigned i = 0; i < HEAP_UNITS && heap != NULL; i++)
        if (heap->owner[i] == process + 1)
            free_unit(i);
}

/* ---- In place of the C library's ---------------------------------------- */

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
