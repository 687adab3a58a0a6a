/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/shared.h"

#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "platform/futex.h"
#include "platform/map.h"
#include "pool/files.h"
#include "pool/handles.h"

/*
 * Address space, not memory: only touched pages cost anything.  A terabyte
 * leaves each of hundreds of workers room for gigabytes of partials.
 */
#define REGION_BYTES       ((size_t)1 << 40)
#define REGION_BYTES_LEAST ((size_t)16 << 20)

/*
 * More addresses, for files.  The thread sanitizer leaves a process no more than a terabyte and a
 * half in one place.
 */
#if defined(__SANITIZE_THREAD__)
#define FILES_BYTES ((size_t)64 << 30)
#else
#define FILES_BYTES ((size_t)4 << 40)
#endif
#define FILES_BYTES_LEAST ((size_t)64 << 10)

/* Parts of the region, in 64ths; the segments share what is left. */
enum {
    INPUT_PART = 8,
    SHARED_PART = 4,
    OWNERS_PART = 1,
    ARRAYS_PART = 2,
    RESULTS_PART = 2,
    RINGS_PART = 1,
    MAIN_TASKS_PART = 4,
    RETRY_TASKS_PART = 1,
    QUARANTINE_PART = 1
};

/* Parts of a segment, in 64ths; the output area takes what is left. */
enum { CLAIMS_PART = 2, NOTES_PART = 1, PIECES_PART = 1, BUFFER_PART = 12 };

static struct ff_area cut(struct ff_area *from, size_t bytes)
{
    struct ff_area part = {.base = from->base, .bytes = bytes & ~(ff_page_bytes() - 1)};

    from->base += part.bytes;
    from->bytes -= part.bytes;
    return part;
}

static void lay_out_segment(struct ff_segment_areas *areas, struct ff_area whole)
{
    size_t unit = whole.bytes / 64;
    struct ff_area rest = whole;
    size_t head_bytes = (sizeof(struct ff_segment) + ff_page_bytes() - 1) & ~(ff_page_bytes() - 1);

    areas->whole = whole;
    areas->head = (struct ff_segment *)cut(&rest, head_bytes).base;
    struct ff_area claims = cut(&rest, CLAIMS_PART * unit);

    areas->claims = (uint64_t *)claims.base;
    areas->claim_capacity = claims.bytes / sizeof(uint64_t);

    struct ff_area notes = cut(&rest, NOTES_PART * unit);

    areas->notes = (struct ff_item_note *)notes.base;
    areas->note_capacity = notes.bytes / sizeof(struct ff_item_note);

    struct ff_area pieces = cut(&rest, PIECES_PART * unit);

    areas->pieces = (struct ff_item_piece *)pieces.base;
    areas->piece_capacity = pieces.bytes / sizeof(struct ff_item_piece);
    for (int i = 0; i < 4; i++)
        areas->buffers[i / 2][i % 2] = cut(&rest, BUFFER_PART * unit);
    areas->output = rest;
}

static void lay_out_board(struct ff_layout *layout, enum ff_board_id id,
                          struct ff_board_shared *shared, struct ff_cursor_shared *cursor,
                          size_t bytes)
{
    struct ff_area postings = ff_region_carve(&layout->region, bytes);

    layout->boards[id] = (struct ff_board){.shared = shared,
                                           .cursor = cursor,
                                           .postings = (struct ff_posting *)postings.base,
                                           .capacity = postings.bytes / sizeof(struct ff_posting)};
}

static int lay_out(struct ff_layout *layout)
{
    struct ff_region *region = &layout->region;
    size_t unit = region->bytes / 64;
    struct ff_area control = ff_region_carve(region, sizeof(struct ff_control_shared));
    struct ff_area supervisor = ff_region_carve(region, sizeof(struct ff_supervisor_shared));

    layout->control = (struct ff_control_shared *)control.base;
    layout->supervisor = (struct ff_supervisor_shared *)supervisor.base;

    struct ff_area cursors = ff_region_carve(region, sizeof(struct ff_cursors_shared));

    layout->rings = ff_region_carve(region, RINGS_PART * unit);
    layout->results = ff_region_carve(region, RESULTS_PART * unit);
    layout->common = (struct ff_area){.base = cursors.base,
                                      .bytes = (size_t)(layout->results.base - cursors.base) +
                                               layout->results.bytes};

    struct ff_area files = ff_region_carve(region, sizeof(struct ff_files_shared));

    layout->files = (struct ff_files_shared *)(void *)files.base;
    layout->input = ff_region_carve(region, INPUT_PART * unit);
    layout->owners = ff_region_carve(region, OWNERS_PART * unit);
    layout->arrays = ff_region_carve(region, ARRAYS_PART * unit);
    layout->shared = ff_region_carve(region, SHARED_PART * unit);

    struct ff_area quarantine = ff_region_carve(region, QUARANTINE_PART * unit);

    layout->quarantine = (struct ff_quarantine *)quarantine.base;
    layout->quarantine_capacity = quarantine.bytes / sizeof(struct ff_quarantine);

    struct ff_cursors_shared *words = (struct ff_cursors_shared *)cursors.base;

    lay_out_board(layout, FF_MAIN, &layout->control->main_board, &words->main,
                  MAIN_TASKS_PART * unit);
    lay_out_board(layout, FF_RETRY, &layout->supervisor->retry_board, &words->retry,
                  RETRY_TASKS_PART * unit);
    lay_out_board(layout, FF_ASSIGNED, &layout->supervisor->assigned_board, &words->assigned,
                  RETRY_TASKS_PART * unit);

    size_t share = ff_region_left(region) / layout->workers & ~(ff_page_bytes() - 1);

    /* Each of a segment's parts must hold something. */
    if (share < 64 * ff_page_bytes() + sizeof(struct ff_segment))
        return FORKFOLD_E_MEMORY;
    for (unsigned i = 0; i < layout->workers; i++)
        lay_out_segment(&layout->segments[i], ff_region_carve(region, share));
    return 0;
}

/* ---- All of it ------------------------------------------------------------ */

/* Without any the pool has everything but files. */
static void reserve_file_addresses(struct ff_layout *layout)
{
    size_t bytes = FILES_BYTES;
    char *base = ff_map_reserve_addresses(&bytes, FILES_BYTES_LEAST);

    if (base != NULL)
        layout->file_addresses = (struct ff_area){.base = base, .bytes = bytes};
}

int ff_layout_open(struct ff_layout *layout, unsigned workers)
{
    int code;

    memset(layout, 0, sizeof(*layout));
    layout->driver_bell = layout->supervisor_bell = -1;
    layout->workers = workers;
    layout->segments = calloc(workers, sizeof(*layout->segments));
    if (layout->segments == NULL)
        return FORKFOLD_E_MEMORY;
    if (ff_region_open(&layout->region, REGION_BYTES, REGION_BYTES_LEAST) != 0) {
        ff_layout_close(layout);
        return FORKFOLD_E_MEMORY;
    }
    code = lay_out(layout);
    if (code == 0)
        code = ff_handles_open(layout);
    if (code < 0)
        ff_layout_close(layout);
    else
        reserve_file_addresses(layout);
    return code;
}

void ff_layout_close(struct ff_layout *layout)
{
    free(layout->segments);
    layout->segments = NULL;
    ff_handles_close(layout);
    if (layout->file_addresses.base != NULL)
        ff_map_release(layout->file_addresses.base, layout->file_addresses.bytes);
    layout->file_addresses = (struct ff_area){0};
    ff_region_close(&layout->region);
}

void ff_layout_keep_from_children(const struct ff_layout *layout)
{
    ff_region_keep_from_children(&layout->region);
    if (layout->file_addresses.base != NULL)
        ff_map_keep_from_children(layout->file_addresses.base, layout->file_addresses.bytes);
}

void ff_layout_forget(struct ff_layout *layout)
{
    layout->region = (struct ff_region){0};
    layout->file_addresses = (struct ff_area){0};
}

bool ff_layout_task(const struct ff_layout *layout, uint64_t claim, size_t near[FF_BOARD_COUNT],
                    struct ff_task *task)
{
    unsigned board = ff_claim_board(claim);

    return board < FF_BOARD_COUNT &&
           ff_board_task(&layout->boards[board], ff_claim_number(claim), &near[board], task);
}

void ff_layout_wake_workers(const struct ff_layout *layout, uint64_t tasks)
{
    /* Partner: nap() in worker.c, which announces `sleeping` before it waits on the old value. */
    ff_bump32(&layout->control->work);
    for (unsigned i = 0; i < layout->workers; i++) {
        if (ff_recheck(&layout->segments[i].head->sleeping) != 0) {
            ff_futex_wake(&layout->control->work, tasks);
            return;
        }
    }
}
