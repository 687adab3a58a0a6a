# SPDX-License-Identifier: Apache-2.0
"""Prints number_cases.h: what CPython makes of lists of doubles.

python3 tests/unit/number_cases.py | clang-format > tests/unit/number_cases.h
"""

import math
import random
import statistics

PER_CASE = 12


def cases():
    tiny, huge = 5e-324, 1.7976931348623157e308
    half = 2.0**-53
    yield [0.1] * 10
    yield [1.0, half]
    yield [1.0, half, tiny]
    yield [1.0, half, -tiny]
    yield [1.0 + 2 * half, half]
    yield [-1.0, -half, tiny]
    yield [1e16, 1.0, 1e-16, -1e16]
    yield [1e308, -1e308, 1e-308, 1.0]
    yield [huge, -huge, tiny]
    yield [huge, tiny]
    yield [huge, math.ldexp(1, 969)]
    yield [huge, -math.ldexp(1, 970)]
    yield [tiny, tiny, tiny]
    yield [tiny, 0.0]
    yield [tiny, tiny, 0.0]
    yield [2.2250738585072014e-308, -tiny]
    yield [2.2250738585072014e-308, -tiny, 3 * tiny, 1e-310]
    yield [-0.0, 0.0]
    yield [1e-170, 3e-170, 7e-170]
    yield [1e-162, -1e-162]
    yield [3.0, 1.0, 2.0]
    yield [1.0, 2.0, 4.0, 8.0]
    yield [9007199254740993.0, 1.0, 2.0]
    yield [math.pi, math.e, -math.pi, -math.e, 1e-20]
    yield [1e200, 1.0, -1e200]
    generator = random.Random(20)
    for spread in (0, 1, 10, 60, 200, 900):
        for count in (1, 2, 5, 11, 12):
            yield [
                math.ldexp(generator.uniform(-1, 1), generator.randint(-spread, spread))
                for _ in range(count)
            ]


def variance_of(numbers):
    try:
        return statistics.pvariance(numbers)
    except OverflowError:
        return math.inf


def literal(number):
    return "INFINITY" if number == math.inf else number.hex()


print("/* SPDX-License-Identifier: Apache-2.0 */")
print("/* Made by number_cases.py. */")
print("#ifndef FF_TEST_NUMBER_CASES_H\n#define FF_TEST_NUMBER_CASES_H\n")
print("#include <math.h>\n#include <stddef.h>\n")
print("struct number_case {")
print(f"size_t count; double numbers[{PER_CASE}];")
print("double sum; double mean; double variance; double median; };\n")
print("/* clang-format off */")
print("static const struct number_case number_cases[] = {")
for case in cases():
    results = [
        math.fsum(case),
        statistics.mean(case),
        variance_of(case),
        statistics.median(case),
    ]
    print(f"    {{{len(case)}, {{{', '.join(map(literal, case))}}},")
    print(f"     {', '.join(map(literal, results))}}},")
print("};\n/* clang-format on */\n\n#endif")
