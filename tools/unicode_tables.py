#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Generates src/jobs/unicode_tables.c from the Unicode Character Database.

usage: tools/unicode_tables.py [--check] [--unicode-data FILE] [--special-casing FILE]
                               [--output FILE]

The generated file is committed, so that the word rules do not depend on the
machine that Forkfold is built on.  With --check nothing is written; the exit
status is 1 if the file is not what would be generated.  2: an input is missing
or says something that the tables cannot hold.
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE_POINTS = 0x110000

# Chosen for the smallest tables; unicode_tables.h has the same number.
PAGE_BITS = 7

# FF_LOWER_BYTES_MAX in unicode_tables.h.
LOWER_BYTES_MAX = 4

NUMBERS_PER_LINE = 16


class BadData(Exception):
    """The input does not look as the generator expects."""


def rows(path):
    """The fields of every line of a file of the database, less comments."""
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = [field.strip() for field in line.split("#")[0].split(";")]
        if fields != [""]:
            yield fields


def read_unicode_data(path):
    """Yields (code point, general category, bidi class, simple lower-case mapping or None)."""
    first = None
    for fields in rows(path):
        code_point = int(fields[0], 16)
        name, category, bidi = fields[1], fields[2], fields[4]
        lower = int(fields[13], 16) if fields[13] else None
        if name.endswith(", First>"):
            first = code_point
            continue
        if not name.endswith(", Last>"):
            first = code_point
        for each in range(first, code_point + 1):
            yield each, category, bidi, lower


def read_special_casing(path):
    """Code point -> its unconditional full lower-case mapping, a tuple."""
    mappings = {}
    for code_point, lower, _title, _upper, *conditions in rows(path):
        if not any(conditions):
            mappings[int(code_point, 16)] = tuple(int(part, 16) for part in lower.split())
    return mappings


def read_version(path):
    match = re.match(r"# SpecialCasing-(\d+\.\d+\.\d+)\.txt\n", path.read_text(encoding="utf-8"))
    if not match:
        raise BadData(f"{path}: the first line does not tell the Unicode version")
    return match.group(1)


def classify(code_point, category, bidi, lower):
    """One code point's record: (names of its flags, what its lower-case mapping is).

    The mapping is a distance, the same for whole alphabets, or the string itself if it has
    several characters.
    """
    if len("".join(map(chr, lower)).encode()) > LOWER_BYTES_MAX:
        raise BadData(f"the lower-case mapping of {code_point:04X} is too long for the tables")
    flags = []
    if category in ("Lu", "Ll", "Lt", "Lm", "Lo"):
        flags.append("FF_UNICODE_LETTER")
    if category == "Zs" or bidi in ("WS", "B", "S"):
        flags.append("FF_UNICODE_SPACE")
    if len(lower) == 1:
        return tuple(flags), lower[0] - code_point
    return tuple(flags + ["FF_UNICODE_EXPANDS"]), "".join(map(chr, lower))


def read_records(unicode_data, special_casing):
    """The record of every code point; those that are not assigned share the first."""
    special = read_special_casing(special_casing)
    records = [((), 0)] * CODE_POINTS
    for code_point, category, bidi, simple in read_unicode_data(unicode_data):
        if category == "Cs":
            continue
        lower = special.get(code_point, (code_point if simple is None else simple,))
        records[code_point] = classify(code_point, category, bidi, lower)
    return records


def packed_letters(records):
    """What the letters rule makes of each code point below 0x800: see ff_unicode_letters_2."""
    packed = []
    for code_point, (flags, lower) in enumerate(records[:0x800]):
        text = lower if isinstance(lower, str) else chr(code_point + lower)
        encoded = text.encode() if "FF_UNICODE_LETTER" in flags else b""
        if len(encoded) > 3:
            raise BadData(f"the lower case of U+{code_point:04X} takes {len(encoded)} bytes")
        packed.append(int.from_bytes(encoded, "little") | len(encoded) << 24)
    return packed


def is_letter(record):
    return "FF_UNICODE_LETTER" in record[0]


def is_kept(record):
    return is_letter(record) and record[1] == 0


def bits(truths):
    """A bit for each, in words of 64."""
    words = [0] * (-(-len(truths) // 64))
    for number, truth in enumerate(truths):
        words[number // 64] |= truth << number % 64
    return words


def row_bits(records, holds):
    """A bit for each row of 64 code points below 0x10000: see ff_unicode_rows_whole."""
    return bits([holds(records[start:start + 64]) for start in range(0, 0x10000, 64)])


def bit_tables(records):
    """Name -> words of bits."""
    def changes(record):
        return is_letter(record) and not is_kept(record)

    def is_whole(row):
        return all(map(is_kept, row))

    def is_partly(row):
        return any(map(is_kept, row)) and not is_whole(row)

    return {
        "kept[0x10000 / 64]": bits([is_kept(record) for record in records[:0x10000]]),
        "changing_2[0x800 / 64]": bits([changes(record) for record in records[:0x800]]),
        "rows_whole[0x400 / 64]": row_bits(records, is_whole),
        "rows_partly[0x400 / 64]": row_bits(records, is_partly),
        "rows_changing[0x400 / 64]": row_bits(records, lambda row: any(map(changes, row))),
    }


def number_of(value, numbers):
    """The number that value has in the dict numbers; values are numbered as they come."""
    return numbers.setdefault(value, len(numbers))


def paginate(records):
    """Returns three dicts from value to number (records, expansions, pages) and the page list."""
    record_numbers, expansion_numbers, page_numbers = {}, {}, {}
    number_of(((), 0), record_numbers)
    compact = []
    for flags, lower in records:
        if isinstance(lower, str):
            lower = number_of(lower, expansion_numbers)
        compact.append(number_of((flags, lower), record_numbers))
    size = 1 << PAGE_BITS
    page_list = [number_of(tuple(compact[start:start + size]), page_numbers)
                 for start in range(0, CODE_POINTS, size)]
    for name, numbers in (("records", record_numbers), ("pages", page_numbers)):
        if len(numbers) > 256:
            raise BadData(f"{len(numbers)} different {name} do not fit into one byte")
    return record_numbers, expansion_numbers, page_numbers, page_list


def number_lines(numbers, indent):
    for start in range(0, len(numbers), NUMBERS_PER_LINE):
        part = numbers[start:start + NUMBERS_PER_LINE]
        yield indent + ", ".join(map(str, part)) + ","


def record_line(flags, lower):
    return f"    {{.lower = {lower}, .flags = {' | '.join(flags) or 0}}},"


def expansion_line(text):
    encoded = text.encode()
    numbers = ", ".join(f"0x{byte:02X}" for byte in encoded)
    return f"    {{.length = {len(encoded)}, .bytes = {{{numbers}}}}},"


def bit_table_lines(records):
    for name, words in bit_tables(records).items():
        yield f"const uint64_t ff_unicode_{name} = {{"
        yield from (f"    0x{word:016X}," for word in words)
        yield from ("};", "")


def generate(unicode_data, special_casing):
    """The whole text of unicode_tables.c."""
    version = read_version(special_casing)
    records = read_records(unicode_data, special_casing)
    record_numbers, expansions, pages, page_list = paginate(records)
    lines = [
        "/* SPDX-License-Identifier: Apache-2.0 */",
        "/* Generated by tools/unicode_tables.py: change that and run it again. */",
        "/* clang-format off */",
        '#include "jobs/unicode_tables.h"',
        "",
        "#include <assert.h>",
        "",
        f"static_assert(FF_UNICODE_PAGE_BITS == {PAGE_BITS}, \"the pages have another size\");",
        "",
        f'const char ff_unicode_version_text[] = "{version}";',
        "",
        "const struct ff_unicode_record ff_unicode_records[] = {",
        *(record_line(*record) for record in record_numbers),
        "};",
        "",
        "const struct ff_unicode_expansion ff_unicode_expansions[] = {",
        *map(expansion_line, expansions),
        "};",
        "",
        "const uint32_t ff_unicode_letters_2[0x800] = {",
        *number_lines(packed_letters(records), "    "),
        "};",
        "",
        *bit_table_lines(records),
        f"const uint8_t ff_unicode_page_numbers[{len(page_list)}] = {{",
        *number_lines(page_list, "    "),
        "};",
        "",
        "const uint8_t ff_unicode_pages[][1 << FF_UNICODE_PAGE_BITS] = {",
    ]
    for page in pages:
        lines += ["    {", *number_lines(page, " " * 8), "    },"]
    lines += ["};", ""]
    return "\n".join(lines)


def main():
    folder = Path("/usr/share/unicode")
    parser = argparse.ArgumentParser(description="Generates the Unicode tables of the word rules.")
    parser.add_argument("--check", action="store_true",
                        help="write nothing; exit with 1 if the file would change")
    parser.add_argument("--unicode-data", type=Path, default=folder / "UnicodeData.txt")
    parser.add_argument("--special-casing", type=Path, default=folder / "SpecialCasing.txt")
    parser.add_argument("--output", type=Path, default=ROOT / "src/jobs/unicode_tables.c")
    options = parser.parse_args()

    try:
        text = generate(options.unicode_data, options.special_casing)
        if not options.check:
            options.output.write_text(text, encoding="ascii")
            return 0
        committed = options.output.read_text(encoding="ascii") if options.output.exists() else None
    except (OSError, BadData) as error:
        print(f"unicode_tables.py: {error}", file=sys.stderr)
        return 2
    if committed == text:
        return 0
    print(f"unicode_tables.py: {options.output} is not what would be generated", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
