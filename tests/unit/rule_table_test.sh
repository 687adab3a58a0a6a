#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# rule_table_test.sh DUMP_RULE: the word rules are CPython's on every scalar value.  The sum is that
# of what a CPython whose unicodedata is 15.0.0 prints for
#   for c in map(chr, (*range(0xD800), *range(0xE000, 0x110000))):
#       lower = ','.join(f'{ord(x):X}' for x in c.lower())
#       print(f'{ord(c):X} {c.isalpha():d} {c.isspace():d} {lower}')
set -u

expected=c0ed048b3635cd2c544f2b81ebf01cd067aa5fad218a265c40ac708d39635992

echo 1..1
sum=$("$1" | sha256sum)
if [ "${sum%% *}" = "$expected" ]; then
    echo "ok 1 - rules_are_those_of_cpython_on_every_scalar_value"
else
    echo "# the sum is ${sum%% *}"
    echo "not ok 1 - rules_are_those_of_cpython_on_every_scalar_value"
fi
