/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what the word rules hold of every scalar value, one a line: the code
 * point, whether it is a letter, whether it is white space, and its lower-case
 * mapping.  rule_table_test.sh compares the whole with the same of CPython.
 */
#include <stdint.h>
#include <stdio.h>

#include "files/utf8.h"
#include "jobs/unicode_tables.h"

static void print_lower(uint32_t code_point)
{
    char lower[FF_LOWER_BYTES_MAX];
    unsigned length = ff_unicode_lower(code_point, lower);

    for (unsigned i = 0; i < length;) {
        struct ff_utf8_unit unit = ff_utf8_decode((const unsigned char *)lower + i, length - i);

        printf("%s%X", i > 0 ? "," : "", (unsigned)unit.code_point);
        i += unit.bytes;
    }
}

int main(void)
{
    for (uint32_t code_point = 0; code_point <= 0x10FFFF; code_point++) {
        if (code_point >= 0xD800 && code_point <= 0xDFFF)
            continue;
        printf("%X %d %d ", (unsigned)code_point, ff_unicode_is_letter(code_point),
               ff_unicode_is_space(code_point));
        print_lower(code_point);
        putchar('\n');
    }
    return ferror(stdout) != 0 || fflush(stdout) != 0;
}
