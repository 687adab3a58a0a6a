# SPDX-License-Identifier: Apache-2.0
"""Makes inputs that are hard to count.

Every generator takes a seed and returns the same bytes for it on every machine.  All texts, the
broken ones too once their ill-formed parts are replaced, hold only code points that Unicode 13.0
assigns: from there on, every version agrees about them, so every CPython since 3.10 counts them
alike.  That is why the ranges are written out here and not taken from the running Python.
"""

import os
import random

# What separates words: all of it, since the answer has been the same in every Unicode version.
SPACES = (
    [0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x1F, 0x20, 0x85, 0xA0, 0x1680]
    + list(range(0x2000, 0x200B))
    + [0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
)

# Looks like a separator, or is invisible, but separates nothing.
NOT_SPACES = [
    0x00, 0x08, 0x0E, 0x1B, 0x7F, 0x84, 0x86, 0x9F, 0xAD, 0x34F, 0x61C, 0x180E, 0x200B, 0x200C,
    0x200D, 0x200E, 0x2060, 0x2800, 0xFEFF, 0xFFFC, 0xFFFD, 0xE0020,
]  # fmt: skip

# Letters, by script; pairs are first and last code point.
LETTERS = {
    "ascii": [(0x41, 0x5A), (0x61, 0x7A)],
    "latin": [(0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x2AF), (0x1E00, 0x1EFF), (0x2C60, 0x2C7F)],
    "greek": [(0x388, 0x38A), (0x38E, 0x3A1), (0x3A3, 0x3F5), (0x1F00, 0x1F15), (0x1F80, 0x1FB4)],
    "cyrillic": [(0x400, 0x481), (0x48A, 0x52F), (0x1C80, 0x1C88), (0xA640, 0xA66E)],
    "armenian": [(0x531, 0x556), (0x561, 0x586)],
    "georgian": [(0x10A0, 0x10C5), (0x10D0, 0x10FA), (0x1C90, 0x1CBA), (0x2D00, 0x2D25)],
    "hebrew": [(0x5D0, 0x5EA)],
    "arabic": [(0x620, 0x64A), (0x671, 0x6D3)],
    "devanagari": [(0x904, 0x939), (0x958, 0x961)],
    "thai": [(0xE01, 0xE30), (0xE40, 0xE46)],
    "ethiopic": [(0x1200, 0x1248)],
    "cherokee": [(0x13A0, 0x13F5), (0xAB70, 0xABBF)],
    "kana": [(0x3041, 0x3096), (0x30A1, 0x30FA), (0xFF66, 0xFF9D)],
    "han": [(0x4E00, 0x9FFC), (0x20000, 0x2A6DD), (0x30000, 0x3134A)],
    "hangul": [(0xAC00, 0xD7A3), (0x1100, 0x1112)],
    "fullwidth": [(0xFF21, 0xFF3A), (0xFF41, 0xFF5A)],
    "deseret": [(0x10400, 0x1044F)],
    "osage": [(0x104B0, 0x104D3), (0x104D8, 0x104FB)],
    "adlam": [(0x1E900, 0x1E943)],
    "mathematical": [(0x1D400, 0x1D454), (0x1D6A8, 0x1D6C0)],
    # Lower case of another length in UTF-8, or of two code points, or final elsewhere.
    "awkward": [
        (0x130, 0x131), (0x1C4, 0x1CC), (0x1F1, 0x1F3), (0x23A, 0x23A), (0x23E, 0x23E),
        (0x3A3, 0x3A3), (0x3C2, 0x3C3), (0x1E9E, 0x1E9E), (0x2126, 0x2126), (0x212A, 0x212B),
        (0x2C62, 0x2C64), (0xA7AA, 0xA7AE), (0x3164, 0x3164), (0x115F, 0x1160),
    ],
}  # fmt: skip

# Not letters: marks, digits, numbers and symbols that have a lower case, signs, private use.
OTHERS = [
    (0x21, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0xA1, 0xA9), (0xAB, 0xB4), (0x300, 0x36F),
    (0x591, 0x5BD), (0x660, 0x669), (0x93E, 0x94D), (0x2010, 0x2027), (0x20AC, 0x20AC),
    (0x2160, 0x2182), (0x2190, 0x21FF), (0x24B6, 0x24E9), (0x3001, 0x3003), (0xE000, 0xE0FF),
    (0xFE00, 0xFE0F), (0x1F600, 0x1F64F), (0xE0100, 0xE01EF), (0x10FFF0, 0x10FFFD),
]  # fmt: skip

# Ill-formed in every context that does not complete them.
ILL_FORMED = [
    b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc3", b"\xe0\x80\x80", b"\xe0\x9f\xbf",
    b"\xe2\x82", b"\xe2", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80",
    b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf0",
    b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfe", b"\xff",
]  # fmt: skip

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Source:
    """Draws from Random.random() alone: it is the one method whose sequence Python promises to
    keep for a seed."""

    def __init__(self, kind, seed):
        self._random = random.Random(f"{kind} {seed}").random

    def below(self, limit):
        return int(self._random() * limit)

    def between(self, first, last):
        return first + self.below(last - first + 1)

    def happens(self, probability):
        return self._random() < probability

    def pick(self, choices):
        return choices[self.below(len(choices))]

    def code_point(self, ranges):
        return chr(self.between(*self.pick(ranges)))


def token(source, ranges):
    """Mostly letters of one script, sometimes with what the letters rule must drop."""
    length = source.pick((1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 31, 33))
    characters = []
    for _ in range(length):
        if source.happens(0.1):
            characters.append(source.code_point(OTHERS))
        elif source.happens(0.03):
            characters.append(chr(source.pick(NOT_SPACES)))
        else:
            characters.append(source.code_point(ranges))
    return "".join(characters)


def vocabulary(source, count):
    """Tokens to draw from, so that words come back."""
    scripts = list(LETTERS.values())
    return [token(source, source.pick(scripts)) for _ in range(count)]


def gap(source):
    return "".join(chr(source.pick(SPACES)) for _ in range(source.pick((1, 1, 1, 1, 2, 3, 7))))


def text(seed, size=20000):
    """Valid UTF-8 of about size bytes in many scripts, with every kind of white space."""
    source = Source("text", seed)
    words = vocabulary(source, 300)
    parts = []
    total = 0
    while total < size:
        parts.append((source.pick(words) + gap(source)).encode())
        total += len(parts[-1])
    return b"".join(parts)


def damage(source, character):
    """The character's bytes with an ill-formed part before them, or without some of them.

    Damage stays within one character, so that no piece of it joins a neighbour to form a code
    point that Unicode 13.0 does not assign."""
    encoded = character.encode()
    if len(encoded) == 1 or source.happens(0.5):
        return source.pick(ILL_FORMED) + encoded
    at = source.below(len(encoded))
    return encoded[:at] + encoded[at + 1 :]


def broken(seed, size=5000):
    """Text with a few ill-formed parts, which may be at the very start or end."""
    source = Source("broken", seed)
    characters = text(seed, size).decode()
    damaged = {source.below(len(characters)) for _ in range(source.between(1, 20))}
    parts = [
        damage(source, character) if place in damaged else character.encode()
        for place, character in enumerate(characters)
    ]
    if source.happens(0.2):
        parts.append(source.pick(ILL_FORMED))
    return b"".join(parts)


def noise(seed, size=2000):
    """Bytes at random, well-formed here and there by chance.  The first bytes of sequences are
    those below which Unicode 13.0 assigns everything, and those that are never valid."""
    source = Source("noise", seed)
    first = [0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xD0, 0xD1, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xEE]
    first += [0xF4, *range(0xF5, 0x100)]
    kinds = (range(0x80), range(0x80, 0xC0), range(0x80, 0xC0), first)
    return b"\xff" + bytes(source.pick(source.pick(kinds)) for _ in range(size))


def giant_tokens(seed, size=300000):
    """Few tokens, each far longer than a block that anybody reads at once, between short ones."""
    source = Source("giant", seed)
    parts = [token(source, LETTERS["latin"])]
    for name in ("ascii", "awkward", "han"):
        chunk = "".join(source.code_point(LETTERS[name]) for _ in range(source.between(50, 99)))
        repeats = size // 3 // len(chunk.encode()) + 1
        parts.append(chunk * repeats)
        parts.append(token(source, LETTERS["ascii"]))
    return gap(source).join(parts).encode()


def empty(seed):
    """No word: nothing at all, white space only, or tokens without a letter."""
    source = Source("empty", seed)
    shape = source.below(3)
    if shape == 0:
        return b""
    if shape == 1:
        return "".join(gap(source) for _ in range(source.between(1, 500))).encode()
    return gap(source).join(["12", "--", "\u2160", "\u24d0", "\u0301", "\U0001f600"]).encode()


def nuls(seed, count=500):
    """Words with NUL in them and around them; NUL is an ordinary character, no separator."""
    source = Source("nuls", seed)
    parts = ["\0" * source.between(1, 5000)]
    for _ in range(count):
        word = source.pick(("a", "b", "ab", "ABC", ""))
        parts.append(word + "\0" * source.below(3) + source.pick(("", "a", "\0b")))
        parts.append(source.pick((" ", "\n", "", "\0 ")))
    return "".join(parts).encode()


def byte_order_marks(seed):
    """Marks at the start, inside words and alone: they are never removed and separate nothing."""
    source = Source("marks", seed)
    words = [b"word", b"Word", b"wo" + BYTE_ORDER_MARK + b"rd", BYTE_ORDER_MARK, b"word"]
    order = [source.pick(words) for _ in range(source.between(3, 40))]
    return BYTE_ORDER_MARK * source.between(1, 2) + b" ".join(order) + BYTE_ORDER_MARK


def line_endings(seed, lines=200):
    """LF, CR LF, lone CR and LF CR in one file, the last line often without any."""
    source = Source("lines", seed)
    words = vocabulary(source, 20)
    endings = ("\n", "\r\n", "\r", "\n\r")
    body = "".join(source.pick(words) + source.pick(endings) for _ in range(lines))
    return (body + source.pick(("", source.pick(words)))).encode()


def separators(seed, count=400):
    """The same few words around each separator, and around what only looks like one."""
    source = Source("separators", seed)
    marks = [0x1C, 0x1D, 0x1E, 0x1F, 0x85, 0xA0, 0x2028, 0x2029] + SPACES + NOT_SPACES
    parts = []
    for _ in range(count):
        parts.append(source.pick(("alpha", "Beta", "gamma", "\u00e9", "x")))
        parts.append(chr(source.pick(marks)))
    return "".join(parts).encode()


VALID = {
    "text": text,
    "giant": giant_tokens,
    "empty": empty,
    "nuls": nuls,
    "marks": byte_order_marks,
    "lines": line_endings,
    "separators": separators,
}
INVALID = {"broken": broken, "noise": noise}


def folder(path, seed, files=50, ill_formed=0.1):
    """Writes files named 0-KIND.txt, 1-KIND.txt, ... into path, which must exist; about the
    share ill_formed of them is not UTF-8.  Returns the names of those."""
    source = Source("folder", seed)
    bad = []
    for number in range(files):
        kinds = INVALID if source.happens(ill_formed) else VALID
        kind = source.pick(sorted(kinds))
        name = f"{number}-{kind}.txt"
        with open(os.path.join(path, name), "wb") as file:
            file.write(kinds[kind](f"{seed}.{number}"))
        if kinds is INVALID:
            bad.append(name)
    return bad
