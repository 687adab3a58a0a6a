/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/seal.h"

#include <string.h>

#include "platform/checksum.h"

#define SEAL_MAGIC UINT64_C(0x316c616553444c46) /* "FLDSeal1" in memory */

static size_t payload_offset(size_t failure_count)
{
    size_t bytes = sizeof(struct ff_seal) + failure_count * sizeof(struct ff_item_failure);

    return (bytes + 63) & ~(size_t)63;
}

void *ff_seal_begin(struct ff_area buffer, const struct ff_item_failure *failures, size_t count,
                    size_t *payload_capacity)
{
    size_t offset = payload_offset(count);

    if (offset > buffer.bytes)
        return NULL;
    if (count > 0)
        memcpy(buffer.base + sizeof(struct ff_seal), failures, count * sizeof(*failures));
    *payload_capacity = buffer.bytes - offset;
    return buffer.base + offset;
}

static uint64_t head_checksum(const struct ff_seal *seal)
{
    size_t skip = sizeof(seal->head_checksum);

    return ff_checksum((const char *)seal + skip, sizeof(*seal) - skip, 0);
}

static uint64_t body_checksum(const struct ff_seal *seal)
{
    return ff_checksum(seal + 1, seal->payload_offset + seal->payload_bytes - sizeof(*seal), 0);
}

void ff_seal_end(struct ff_area buffer, uint64_t call, const uint64_t *claims, uint64_t covered,
                 size_t failure_count, size_t payload_bytes)
{
    struct ff_seal *seal = (struct ff_seal *)buffer.base;

    seal->magic = SEAL_MAGIC;
    seal->call = call;
    seal->covered = covered;
    seal->claims_checksum = ff_checksum(claims, covered * sizeof(*claims), 0);
    seal->failure_count = failure_count;
    seal->payload_offset = payload_offset(failure_count);
    seal->payload_bytes = payload_bytes;
    seal->body_checksum = body_checksum(seal);
    seal->head_checksum = head_checksum(seal);
}

static bool is_sound(const struct ff_segment_areas *segment, const struct ff_seal *seal,
                     struct ff_area buffer, uint64_t call, uint64_t covered)
{
    if (seal->head_checksum != head_checksum(seal) || seal->magic != SEAL_MAGIC ||
        seal->call != call || seal->covered != covered)
        return false;
    if (covered > segment->claim_capacity)
        return false;
    if (seal->failure_count > buffer.bytes / sizeof(struct ff_item_failure) ||
        seal->payload_offset != payload_offset(seal->failure_count) ||
        seal->payload_offset > buffer.bytes ||
        seal->payload_bytes > buffer.bytes - seal->payload_offset)
        return false;
    return seal->body_checksum == body_checksum(seal) &&
           seal->claims_checksum == ff_checksum(segment->claims, covered * sizeof(uint64_t), 0);
}

const struct ff_seal *ff_seal_find(const struct ff_segment_areas *segment, uint64_t call,
                                   uint64_t *sealed, bool *damaged)
{
    /* Partner: the publishing store in seal() of worker.c. */
    uint64_t word = ff_observe(&segment->head->sealed);

    *sealed = word;
    *damaged = false;
    if (word == 0)
        return NULL;

    struct ff_area buffer = segment->buffers[call & 1][ff_sealed_buffer(word)];
    const struct ff_seal *seal = (const struct ff_seal *)buffer.base;

    if (!is_sound(segment, seal, buffer, call, ff_sealed_covered(word))) {
        *damaged = true;
        return NULL;
    }
    return seal;
}

const struct ff_item_failure *ff_seal_failures(const struct ff_seal *seal)
{
    return (const struct ff_item_failure *)(seal + 1);
}

const void *ff_seal_payload(const struct ff_seal *seal)
{
    return (const char *)seal + seal->payload_offset;
}
