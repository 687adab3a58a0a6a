/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/checksum.h"

/* One library less to load: a run on a small file takes a few milliseconds in all. */
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t ff_checksum(const void *bytes, size_t count, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, count, seed);
}
