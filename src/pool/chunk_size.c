/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include <forkfold/call.h>

/* Chunks for each worker, so that those who end early find more; and the least of a chunk. */
enum { CHUNKS_PER_WORKER = 4, CHUNK_LEAST = 100 };

/* What a chunk takes at most: a slow last one must not dominate, and a death must cost little. */
#define CHUNK_SECONDS 0.25

static uint64_t at_least(uint64_t chunk, uint64_t least)
{
    return chunk > least ? chunk : least;
}

uint64_t forkfold_chunk_size(uint64_t items, unsigned workers, double seconds_per_item)
{
    uint64_t chunk;

    if (items == 0 || workers == 0 || !isfinite(seconds_per_item) || seconds_per_item < 0)
        return 0;
    chunk = at_least(items / ((uint64_t)workers * CHUNKS_PER_WORKER), 1);
    if (items < (uint64_t)CHUNK_LEAST * workers)
        chunk = at_least(chunk, at_least(items / workers, 1));
    else
        chunk = at_least(chunk, CHUNK_LEAST);
    if (seconds_per_item > 0 && (double)chunk > CHUNK_SECONDS / seconds_per_item)
        chunk = at_least((uint64_t)(CHUNK_SECONDS / seconds_per_item), 1);
    return chunk;
}
