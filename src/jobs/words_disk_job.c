/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "flow/merge.h"
#include "jobs/words_disk.h"

#include "flow/record.h"

/* A range is ranked in parts that memory holds; of less than this they would be too many. */
enum { RANK_BYTES_MIN = 64 * 1024 };

struct disk_state {
    struct ff_worker *worker;
    const struct ff_disk_context *context;
    struct ff_spilled_list written;
};

static int disk_attach(struct ff_worker *worker, const void *context, void **result)
{
    struct disk_state *state = calloc(1, sizeof(*state));

    if (state == NULL)
        return FORKFOLD_E_MEMORY;
    state->worker = worker;
    state->context = context;
    *result = state;
    return 0;
}

static void disk_detach(void *pointer)
{
    struct disk_state *state = pointer;

    ff_spilled_list_free(&state->written);
    free(state);
}

static int write_sorted(struct disk_state *state, const struct ff_entry *entries, size_t count,
                        enum ff_order order)
{
    return ff_spill_entries(state->worker, entries, count, order, state->context->fingerprint,
                            state->context->combiner, &state->written);
}

/* ---- Gathering ----------------------------------------------------------- */

static int gather(struct disk_state *state, const struct ff_partial *partial)
{
    const unsigned char *next = ff_partial_records(partial);
    struct ff_entry *entries = malloc((partial->entry_count + 1) * sizeof(*entries));
    int code;

    if (entries == NULL)
        return FORKFOLD_E_MEMORY;
    for (uint64_t i = 0; i < partial->entry_count; i++)
        next = ff_record_get(next, &entries[i]);
    ff_entries_sort(entries, partial->entry_count, FF_BY_KEY, NULL);
    code = write_sorted(state, entries, partial->entry_count, FF_BY_KEY);
    free(entries);
    return code;
}

/* ---- Sources ------------------------------------------------------------- */

/* Several spilled partials that are read as one. */
struct sources {
    struct ff_partial_reader *readers;
    size_t count;
    struct ff_file_merge merge;
};

/* The sentence for what has gone wrong while reading. */
static int explain(struct disk_state *state, const struct sources *sources, int code)
{
    int system_error = sources->readers[sources->merge.failed].system_error;

    if (code == FORKFOLD_E_SPILL && system_error != 0)
        return ff_worker_fail_spill(state->worker, "read", system_error);
    if (code == FORKFOLD_E_DAMAGED)
        ff_worker_explain(state->worker, "a partial that was written to disk is damaged");
    if (code == FORKFOLD_E_RANGE)
        ff_worker_explain(state->worker, FF_COMBINE_RANGE_TEXT);
    return code;
}

/* The reader stands before the first entry. */
static int open_reader(struct disk_state *state, const struct ff_spilled *spilled,
                       enum ff_order order, struct ff_partial_reader *reader)
{
    int fd = ff_worker_open_spill(state->worker, (unsigned)spilled->slot);

    return fd < 0 ? fd
                  : ff_partial_reader_open(reader, fd, spilled->extent, order,
                                           state->context->fingerprint);
}

/* Each stands before the key, or a little earlier; key NULL: before the first. */
static int open_sources(struct disk_state *state, const struct ff_spilled *spilled, size_t count,
                        enum ff_order order, const struct ff_key_cut *from, struct sources *sources)
{
    int code = 0;

    *sources = (struct sources){.count = count};
    sources->readers = calloc(count + 1, sizeof(*sources->readers));
    if (sources->readers == NULL)
        return FORKFOLD_E_MEMORY;
    for (size_t i = 0; i < count && code == 0; i++) {
        sources->merge.failed = i;
        code = open_reader(state, &spilled[i], order, &sources->readers[i]);
        if (code == 0 && from != NULL)
            code = ff_partial_reader_seek(&sources->readers[i], from->key, from->key_bytes);
    }
    if (code == 0)
        code = ff_file_merge_open(&sources->merge, sources->readers, count, order);
    sources->merge.combiner = state->context->combiner;
    return code < 0 ? explain(state, sources, code) : 0;
}

static int next_entry(struct disk_state *state, struct sources *sources, struct ff_entry *entry)
{
    int more = ff_file_merge_next(&sources->merge, entry);

    return more < 0 ? explain(state, sources, more) : more;
}

static void close_sources(struct sources *sources)
{
    ff_file_merge_close(&sources->merge);
    for (size_t i = 0; sources->readers != NULL && i < sources->count; i++)
        ff_partial_reader_close(&sources->readers[i]);
    free(sources->readers);
}

/* ---- Merging ------------------------------------------------------------- */

static int copy_entries(struct disk_state *state, struct sources *sources,
                        struct ff_partial_writer *writer)
{
    struct ff_entry entry;
    int more;

    while ((more = next_entry(state, sources, &entry)) > 0) {
        more = ff_partial_writer_add(writer, entry.key, entry.key_bytes, entry.count);
        if (more < 0)
            break;
    }
    return more;
}

static int merge(struct disk_state *state, const struct ff_spilled *spilled, size_t count)
{
    const struct ff_disk_context *context = state->context;
    struct ff_partial_writer writer;
    struct sources sources;
    int code = open_sources(state, spilled, count, context->order, NULL, &sources);

    if (code == 0) {
        code = ff_spill_begin(state->worker, context->order, context->fingerprint,
                              context->combiner, &writer);
        if (code == 0)
            code = copy_entries(state, &sources, &writer);
        code = ff_spill_end(state->worker, &writer, code, &state->written);
    }
    close_sources(&sources);
    return code;
}

/* ---- Ranking ------------------------------------------------------------- */

/* Entries that wait to be sorted: they grow from the front of the memory, their keys from its end. */
struct ranking {
    char *memory;
    size_t bytes;
    size_t count;
    size_t keys_start;
};

static bool has_room(const struct ranking *ranking, size_t key_bytes)
{
    size_t free_bytes = ranking->keys_start - ranking->count * sizeof(struct ff_entry);

    return free_bytes >= sizeof(struct ff_entry) &&
           free_bytes - sizeof(struct ff_entry) >= key_bytes;
}

static void keep(struct ranking *ranking, const struct ff_entry *entry)
{
    struct ff_entry *kept = (struct ff_entry *)ranking->memory + ranking->count++;

    *kept = *entry;
    ranking->keys_start -= entry->key_bytes;
    kept->key = ranking->memory + ranking->keys_start;
    if (entry->key_bytes > 0)
        memcpy(ranking->memory + ranking->keys_start, entry->key, entry->key_bytes);
}

static int flush(struct disk_state *state, struct ranking *ranking)
{
    struct ff_entry *entries = (struct ff_entry *)ranking->memory;
    size_t count = ranking->count;

    if (count == 0)
        return 0;
    ff_entries_sort(entries, count, FF_BY_RANK, NULL);
    ranking->count = 0;
    ranking->keys_start = ranking->bytes;
    return write_sorted(state, entries, count, FF_BY_RANK);
}

/* After a flush: one key may be larger than all the memory. */
static int make_room(struct ranking *ranking, size_t key_bytes)
{
    size_t needed = (key_bytes + 2 * sizeof(struct ff_entry)) & ~(sizeof(uint64_t) - 1);
    char *grown;

    if (has_room(ranking, key_bytes))
        return 0;
    grown = realloc(ranking->memory, needed);
    if (grown == NULL)
        return FORKFOLD_E_MEMORY;
    ranking->memory = grown;
    ranking->bytes = ranking->keys_start = needed;
    return 0;
}

static int rank_entry(struct disk_state *state, struct ranking *ranking,
                      const struct ff_entry *entry)
{
    int code = 0;

    if (!has_room(ranking, entry->key_bytes)) {
        code = flush(state, ranking);
        if (code == 0)
            code = make_room(ranking, entry->key_bytes);
    }
    if (code == 0)
        keep(ranking, entry);
    return code;
}

static int compare_to_cut(const struct ff_entry *entry, const struct ff_key_cut *cut)
{
    size_t common = entry->key_bytes < cut->key_bytes ? entry->key_bytes : cut->key_bytes;
    int order = common > 0 ? memcmp(entry->key, cut->key, common) : 0;

    if (order != 0)
        return order;
    return (entry->key_bytes > cut->key_bytes) - (entry->key_bytes < cut->key_bytes);
}

static int rank_entries(struct disk_state *state, struct sources *sources, struct ranking *ranking,
                        const struct ff_key_cut *from, const struct ff_key_cut *to)
{
    struct ff_entry entry;
    int more;

    while ((more = next_entry(state, sources, &entry)) > 0) {
        if (to != NULL && compare_to_cut(&entry, to) >= 0)
            break;
        if (from != NULL && compare_to_cut(&entry, from) < 0)
            continue;
        more = rank_entry(state, ranking, &entry);
        if (more < 0)
            return more;
    }
    return more < 0 ? more : flush(state, ranking);
}

static int rank(struct disk_state *state, uint64_t range)
{
    const struct ff_disk_context *context = state->context;
    const struct ff_key_cut *from = range > 0 ? &context->cuts[range - 1] : NULL;
    const struct ff_key_cut *to = range < context->cut_count ? &context->cuts[range] : NULL;
    size_t bytes = context->memory_bytes / 2 & ~(sizeof(uint64_t) - 1);
    struct ranking ranking = {.bytes = bytes > RANK_BYTES_MIN ? bytes : RANK_BYTES_MIN};
    struct sources sources;
    int code =
        open_sources(state, context->spilled, context->spilled_count, FF_BY_KEY, from, &sources);

    ranking.keys_start = ranking.bytes;
    ranking.memory = malloc(ranking.bytes);
    if (code == 0 && ranking.memory == NULL)
        code = FORKFOLD_E_MEMORY;
    if (code == 0)
        code = rank_entries(state, &sources, &ranking, from, to);
    free(ranking.memory);
    close_sources(&sources);
    return code;
}

/* ---- The job ------------------------------------------------------------- */

static int disk_run(void *pointer, uint64_t item, struct ff_item_failure *failure)
{
    struct disk_state *state = pointer;
    const struct ff_disk_context *context = state->context;
    size_t first = item * context->fan_in;
    int code;

    (void)failure;
    switch (context->stage) {
    case FF_DISK_GATHER:
        code = gather(state, context->partials[item]);
        break;
    case FF_DISK_MERGE:
        code =
            merge(state, context->spilled + first,
                  context->spilled_count - first < context->fan_in ? context->spilled_count - first
                                                                   : context->fan_in);
        break;
    default:
        code = rank(state, item);
        break;
    }
    return code < 0 ? code : FF_ITEM_DONE;
}

static int disk_absorb(void *pointer, const void *payload, size_t bytes)
{
    struct disk_state *state = pointer;
    const struct ff_disk_seal *base = payload;

    (void)bytes; /* the checksum has vouched for the payload */
    return ff_spilled_list_add(&state->written, base->written, base->count);
}

static int disk_seal(void *pointer, void *payload, size_t capacity, size_t *bytes)
{
    const struct disk_state *state = pointer;
    struct ff_disk_seal *seal = payload;
    size_t written_bytes = state->written.count * sizeof(*seal->written);

    *bytes = sizeof(*seal) + written_bytes;
    if (*bytes > capacity)
        return FORKFOLD_E_LIMIT;
    seal->count = state->written.count;
    if (written_bytes > 0)
        memcpy(seal->written, state->written.items, written_bytes);
    return 0;
}

const struct ff_job ff_words_disk_job = {
    .name = "disk",
    .attach = disk_attach,
    .detach = disk_detach,
    .run = disk_run,
    .absorb = disk_absorb,
    .seal = disk_seal,
};
