# SPDX-License-Identifier: Apache-2.0
"""Whether two word counts say the same, before anything is timed."""

from collections import Counter


def read_counts(path):
    """A Counter of words in bytes from lines of count, tab, word."""
    counts = Counter()
    with open(path, "rb") as file:
        for line in file:
            count, _, word = line.rstrip(b"\n").partition(b"\t")
            counts[word] += int(count)
    return counts


def lowered(counts, ascii_only):
    """What lower() makes of the words of the plain rule, and of those that are equal then."""
    result = Counter()
    for word, count in counts.items():
        result[word.lower() if ascii_only else word.decode().lower().encode()] += count
    return result


def difference(ours, theirs):
    """None if the counts are equal, else the first word that differs, in words."""
    if ours == theirs:
        return None
    word = min(word for word in ours.keys() | theirs.keys() if ours[word] != theirs[word])
    return (f"{word.decode(errors='replace')!r} occurs {ours[word]} times for Forkfold and "
            f"{theirs[word]} times for it")
