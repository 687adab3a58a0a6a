/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed partials inside the region.
 *
 *     struct ff_seal | failures, failure_count of them | pad | payload of the job
 *
 * A seal is immutable once the segment's `sealed` word names it, and covers
 * the first `covered` claims of its segment's log.  The checksum is over all
 * of it and over those claims, so that a worker which scribbled over its own
 * segment before it died is found out.
 */
#ifndef FF_POOL_SEAL_H
#define FF_POOL_SEAL_H

#include "pool/shared.h"

struct ff_seal {
    uint64_t
        head_checksum; /* of the fields behind it: their sizes are checked before they are used */
    uint64_t body_checksum; /* of what lies behind this structure */
    uint64_t magic;
    uint64_t call; /* sequence */
    uint64_t covered;
    uint64_t claims_checksum;
    uint64_t failure_count;
    uint64_t payload_offset; /* from the start of the seal, a multiple of 64 */
    uint64_t payload_bytes;
};

/*
 * Publishing a seal, in two steps around the job's own writing:
 * ff_seal_begin says where the payload goes, after the failures; ff_seal_end
 * computes the checksums.  Begin returns NULL when the buffer is too small.
 */
void *ff_seal_begin(struct ff_area buffer, const struct ff_item_failure *failures, size_t count,
                    size_t *payload_capacity);
void ff_seal_end(struct ff_area buffer, uint64_t call, const uint64_t *claims, uint64_t covered,
                 size_t failure_count, size_t payload_bytes);

/*
 * The seal that the segment's word names, if it is sound and belongs to the
 * call; *damaged says whether there was one that is not.  NULL without one.
 * The word is read once; *sealed receives it.
 */
const struct ff_seal *ff_seal_find(const struct ff_segment_areas *segment, uint64_t call,
                                   uint64_t *sealed, bool *damaged);

const struct ff_item_failure *ff_seal_failures(const struct ff_seal *seal);
const void *ff_seal_payload(const struct ff_seal *seal);

#endif
