/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in as few bytes as hold them: LEB128, seven bits a byte from the lowest on. */
#ifndef FF_FLOW_SHORT_NUMBER_H
#define FF_FLOW_SHORT_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of any 64-bit number. */
enum { FF_SHORT_NUMBER_MAX = 10 };

/* Returns where the next byte goes. */
static inline unsigned char *ff_short_number_put(unsigned char *to, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        *to++ = (unsigned char)(number | 0x80);
    *to++ = (unsigned char)number;
    return to;
}

/* Reads one that was put there; returns what is behind it. */
static inline const unsigned char *ff_short_number_get(const unsigned char *from, uint64_t *number)
{
    *number = *from & 0x7f;
    for (unsigned shift = 7; *from++ >= 0x80; shift += 7)
        *number |= (uint64_t)(*from & 0x7f) << shift;
    return from;
}

/* Reads one from bytes that may be anything; NULL when those up to end hold none in its only form. */
static inline const unsigned char *ff_short_number_take(const unsigned char *from,
                                                        const unsigned char *end, uint64_t *number)
{
    *number = 0;
    for (unsigned shift = 0; from < end && shift < 64; shift += 7) {
        unsigned char byte = *from++;

        *number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return (byte > 0 || shift == 0) && (shift < 63 || byte <= 1) ? from : NULL;
    }
    return NULL;
}

#endif
