/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FF_PLATFORM_CHECKSUM_H
#define FF_PLATFORM_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* XXH3, 64 bits: the checksum of partials and seals, and the hash of long keys. */
uint64_t ff_checksum(const void *bytes, size_t count, uint64_t seed);

#endif
