/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/merge.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "flow/record.h"

/* ---- The heap ------------------------------------------------------------ */

static bool source_before(const struct ff_heap *heap, unsigned a, unsigned b)
{
    int order = ff_entry_compare(heap->heads[a], heap->heads[b], heap->order);

    return order != 0 ? order < 0 : a < b;
}

/* Puts the source at a place where it belongs, when those below it are in order. */
static void sift_down(struct ff_heap *heap, size_t place)
{
    unsigned source = heap->sources[place];

    for (;;) {
        size_t child = 2 * place + 1;

        if (child >= heap->count)
            break;
        if (child + 1 < heap->count &&
            source_before(heap, heap->sources[child + 1], heap->sources[child]))
            child++;
        if (source_before(heap, source, heap->sources[child]))
            break;
        heap->sources[place] = heap->sources[child];
        place = child;
    }
    heap->sources[place] = source;
}

static int heap_open(struct ff_heap *heap, size_t source_count, enum ff_order order)
{
    *heap = (struct ff_heap){.order = order};
    if (source_count > UINT_MAX)
        return FORKFOLD_E_LIMIT;
    heap->heads = calloc(source_count + 1, sizeof(const struct ff_entry *));
    heap->sources = calloc(source_count + 1, sizeof(*heap->sources));
    return heap->heads != NULL && heap->sources != NULL ? 0 : FORKFOLD_E_MEMORY;
}

/* Orders the sources that have been put in. */
static void heap_build(struct ff_heap *heap)
{
    for (size_t place = heap->count / 2; place-- > 0;)
        sift_down(heap, place);
}

/* After the first source got its next head, NULL when it is exhausted. */
static void heap_advance(struct ff_heap *heap, const struct ff_entry *head)
{
    heap->heads[heap->sources[0]] = head;
    if (head == NULL)
        heap->sources[0] = heap->sources[--heap->count];
    if (heap->count > 0)
        sift_down(heap, 0);
}

static void heap_close(struct ff_heap *heap)
{
    free(heap->heads);
    free(heap->sources);
}

/* ---- Runs in memory ------------------------------------------------------ */

int ff_merge_init(struct ff_merge *merge, const struct ff_run *runs, size_t run_count)
{
    struct ff_merge made = {.runs = runs, .run_count = run_count};
    int code = heap_open(&made.heap, run_count, FF_BY_RANK);

    made.entries = calloc(run_count + 1, sizeof(*made.entries));
    made.next = calloc(run_count + 1, sizeof(const unsigned char *));
    if (code == 0 && (made.entries == NULL || made.next == NULL))
        code = FORKFOLD_E_MEMORY;
    if (code < 0) {
        ff_merge_free(&made);
        return code;
    }
    ff_merge_rewind(&made);
    *merge = made;
    return 0;
}

/* Reads the next entry of a run; false when there is none. */
static bool read_entry(struct ff_merge *merge, size_t run)
{
    if (merge->next[run] >= merge->runs[run].records + merge->runs[run].bytes)
        return false;
    merge->next[run] = ff_record_get(merge->next[run], &merge->entries[run]);
    return true;
}

void ff_merge_rewind(struct ff_merge *merge)
{
    struct ff_heap *heap = &merge->heap;

    heap->count = 0;
    for (size_t run = 0; run < merge->run_count; run++) {
        merge->next[run] = merge->runs[run].records;
        heap->heads[run] = &merge->entries[run];
        if (read_entry(merge, run))
            heap->sources[heap->count++] = (unsigned)run;
    }
    heap_build(heap);
}

const struct ff_entry *ff_merge_next(struct ff_merge *merge)
{
    struct ff_heap *heap = &merge->heap;
    unsigned run;

    if (heap->count == 0)
        return NULL;
    run = heap->sources[0];
    merge->entry = merge->entries[run];
    heap_advance(heap, read_entry(merge, run) ? &merge->entries[run] : NULL);
    return &merge->entry;
}

void ff_merge_free(struct ff_merge *merge)
{
    heap_close(&merge->heap);
    free(merge->entries);
    free(merge->next);
    *merge = (struct ff_merge){0};
}

/* ---- Partials in files --------------------------------------------------- */

int ff_file_merge_open(struct ff_file_merge *merge, struct ff_partial_reader *readers, size_t count,
                       enum ff_order order)
{
    struct ff_heap *heap = &merge->heap;
    int code;

    *merge = (struct ff_file_merge){.readers = readers};
    code = heap_open(heap, count, order);
    for (size_t i = 0; i < count && code == 0; i++) {
        int more = ff_partial_reader_next(&readers[i]);

        if (more < 0) {
            merge->failed = i;
            return more;
        }
        if (more == 0)
            continue;
        heap->heads[i] = &readers[i].entry;
        heap->sources[heap->count++] = (unsigned)i;
    }
    if (code == 0)
        heap_build(heap);
    return code;
}

/* Goes on in the source of the entry that comes next. */
static int advance(struct ff_file_merge *merge)
{
    struct ff_partial_reader *reader = &merge->readers[merge->heap.sources[0]];
    int more = ff_partial_reader_next(reader);

    if (more < 0) {
        merge->failed = merge->heap.sources[0];
        return more;
    }
    heap_advance(&merge->heap, more > 0 ? &reader->entry : NULL);
    return 0;
}

/* A copy of its own, for the reader is about to go on. */
static int keep_entry(struct ff_file_merge *merge, struct ff_entry *entry)
{
    *entry = *merge->heap.heads[merge->heap.sources[0]];
    /* The empty key is no null pointer either. */
    if (merge->key.size <= entry->key_bytes) {
        unsigned char *grown = realloc(merge->key.bytes, entry->key_bytes * 2 + 1);

        if (grown == NULL)
            return FORKFOLD_E_MEMORY;
        merge->key.bytes = grown;
        merge->key.size = entry->key_bytes * 2 + 1;
    }
    if (entry->key_bytes > 0)
        memcpy(merge->key.bytes, entry->key, entry->key_bytes);
    entry->key = (const char *)merge->key.bytes;
    return advance(merge);
}

int ff_file_merge_next(struct ff_file_merge *merge, struct ff_entry *entry)
{
    struct ff_heap *heap = &merge->heap;
    int code;

    if (heap->count == 0)
        return 0;
    code = keep_entry(merge, entry);
    while (code == 0 && heap->order == FF_BY_KEY && heap->count > 0) {
        const struct ff_entry *head = heap->heads[heap->sources[0]];

        if (ff_entry_compare(head, entry, FF_BY_KEY) != 0)
            break;
        if (__builtin_add_overflow(entry->count, head->count, &entry->count))
            return FORKFOLD_E_LIMIT;
        code = advance(merge);
    }
    return code < 0 ? code : 1;
}

void ff_file_merge_close(struct ff_file_merge *merge)
{
    heap_close(&merge->heap);
    free(merge->key.bytes);
    *merge = (struct ff_file_merge){0};
}
