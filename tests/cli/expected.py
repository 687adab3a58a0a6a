# SPDX-License-Identifier: Apache-2.0
"""What the command should print, worked out from the sequential count."""

import os

import reference


def is_shown_as_bytes(character):
    """Controls, line separators, marks of the writing direction, and what was not UTF-8."""
    code = ord(character)
    return (code < 0x20 or 0x7F <= code <= 0x9F or code in (0x61C, 0x200E, 0x200F)
            or 0x2028 <= code <= 0x202E or 0x2066 <= code <= 0x2069
            or 0xDC80 <= code <= 0xDCFF)  # fmt: skip


def safe(data):
    """Bytes as messages show them."""
    shown = []
    for character in data.decode("utf-8", "surrogateescape"):
        encoded = character.encode("utf-8", "surrogateescape")
        if is_shown_as_bytes(character):
            encoded = b"".join(b"\\x%02x" % byte for byte in encoded)
        shown.append(encoded)
    return b"".join(shown)


def decode_detail(data):
    """The sentence about ill-formed text."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"invalid UTF-8 at byte {error.start}: {error.reason}"
    raise ValueError("the text is well-formed")


def failure_line(path, detail):
    return b"forkfold: " + safe(os.fsencode(path)) + b": " + os.fsencode(detail)


def decode_lines(failures):
    """The lines of files that are not UTF-8, in the order of the failures."""
    lines = []
    for failure in failures:
        assert failure.reason == "decode", failure
        with open(failure.path, "rb") as file:
            lines.append(failure_line(failure.path, decode_detail(file.read())))
    return lines


def check_count(result, words, failures, code=None):
    """That a run printed exactly these words and failed at exactly these files, which are not
    UTF-8 and whose paths can be opened as they are."""
    assert result.out == reference.listing(words)
    assert result.messages() == decode_lines(failures)
    assert result.code == ((1 if failures else 0) if code is None else code)
    summary = result.summary()
    assert summary.failed == len(failures)
    assert summary.words == sum(words.values())
    assert summary.distinct == len(words)
