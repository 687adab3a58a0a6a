# SPDX-License-Identifier: Apache-2.0
"""Counts words one file after the other, the way the tests expect Forkfold to.

It knows nothing of workers, pieces or tables, and takes white space, letters and lower case from
the running Python.  So it agrees with Forkfold wherever the text has only code points that are
assigned in the Unicode versions of both.
"""

import errno
import fnmatch
import os
import stat
from collections import Counter
from typing import NamedTuple

# What makes an entry of a directory no input at all: it is gone, or a link that leads nowhere.
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Failure(NamedTuple):
    """One input that contributes nothing: the path in bytes, and why."""

    path: bytes
    reason: str  # "decode" or "system"
    byte_offset: int = -1  # of the first ill-formed byte, for "decode"
    system_error: int = 0  # errno, for "system"


def only_letters(token):
    """The token's letters, each lower-cased by itself; lower() of the whole differs for a final
    sigma."""
    return "".join(map(str.lower, filter(str.isalpha, token)))


def count_text(data, rule="letters", invalid="fail"):
    """A Counter of UTF-8 words.  Raises UnicodeDecodeError for ill-formed data unless replaced."""
    if rule not in ("letters", "plain"):
        raise ValueError(f"no such rule: {rule}")
    if invalid not in ("fail", "replace"):
        raise ValueError(f"no such way to treat ill-formed text: {invalid}")
    text = data.decode("utf-8", "replace" if invalid == "replace" else "strict")
    words = Counter()
    for token, count in Counter(text.split()).items():
        word = only_letters(token) if rule == "letters" else token
        if word:
            words[word.encode("utf-8")] += count
    return words


def list_files(root, glob="*.txt", recursive=False):
    """The files that a search of root finds and the entries it fails at: two sorted lists, of
    paths in bytes that begin with root, and of Failure."""
    root = os.fsencode(root)
    pattern = os.fsencode(glob)
    files, failures = [], []
    to_list = [root if root.endswith(b"/") else root + b"/"]
    while to_list:
        directory = to_list.pop()
        try:
            names = os.listdir(directory)
        except OSError as error:
            failures.append(Failure(directory, "system", system_error=error.errno))
            continue
        for name in names:
            if name.startswith(b"."):
                continue
            path = directory + name
            try:
                kind = os.lstat(path).st_mode
                if stat.S_ISDIR(kind):
                    if recursive:
                        to_list.append(path + b"/")
                    continue
                if not fnmatch.fnmatchcase(name, pattern):
                    continue
                if stat.S_ISLNK(kind):
                    kind = os.stat(path).st_mode
            except OSError as error:
                if error.errno not in NOT_THERE and fnmatch.fnmatchcase(name, pattern):
                    failures.append(Failure(path, "system", system_error=error.errno))
                continue
            if stat.S_ISREG(kind):
                files.append(path)
    return sorted(files), sorted(failures)


def count_file(path, rule="letters", invalid="fail"):
    """A Counter, or the Failure that keeps the file out of the result."""
    try:
        with open(path, "rb") as file:
            return count_text(file.read(), rule, invalid)
    except UnicodeDecodeError as error:
        return Failure(path, "decode", byte_offset=error.start)
    except OSError as error:
        return Failure(path, "system", system_error=error.errno)


def count_paths(paths, rule="letters", invalid="fail", glob="*.txt", recursive=False, stdin=b""):
    """All words of the paths, and the failures in byte order of their paths.  A path is a
    directory, a file, or "-" for the bytes given as stdin; one that does not exist raises
    FileNotFoundError."""
    words = Counter()
    failures = []
    for path in map(os.fsencode, paths):
        if path == b"-":
            try:
                words.update(count_text(stdin, rule, invalid))
            except UnicodeDecodeError as error:
                failures.append(Failure(path, "decode", byte_offset=error.start))
            continue
        files = [path]
        if stat.S_ISDIR(os.stat(path).st_mode):
            files, failed = list_files(path, glob, recursive)
            failures.extend(failed)
        for file in files:
            counted = count_file(file, rule, invalid)
            if isinstance(counted, Failure):
                failures.append(counted)
            else:
                words.update(counted)
    return words, sorted(failures)


def listing(words):
    """The lines that the command prints: most frequent first, ties in byte order of the word."""
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    return b"".join(b"%d\t%s\n" % (count, word) for word, count in ranked)
