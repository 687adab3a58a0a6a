#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the words of the *.txt files of a folder with multiprocessing.Pool.

usage: bench/peers/python_pool.py lower|letters|tuned FOLDER WORKERS

  lower    text.lower().split()
  letters  of each token of text.split() the letters, each in lower case
  tuned    the same words as letters, with what helps in Python: a worker
           cleans each distinct token once, and sends one Counter home for
           many files
"""

import os
import sys
from collections import Counter
from multiprocessing import Pool

# Enough files to hide the cost of a message, few enough to keep all workers busy to the end.
CHUNK = 32
TUNED_FILES = 2000


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def letters(token):
    return "".join([c.lower() for c in token if c.isalpha()])


def count_lower(path):
    return Counter(read(path).lower().split())


def count_letters(path):
    words = Counter(map(letters, read(path).split()))
    del words[""]
    return words


def count_tuned(paths):
    tokens = Counter()
    for path in paths:
        tokens.update(read(path).split())
    words = Counter()
    for token, count in tokens.items():
        words[letters(token)] += count
    del words[""]
    return words


def list_files(folder):
    with os.scandir(folder) as entries:
        return sorted(entry.path for entry in entries
                      if entry.name.endswith(".txt") and not entry.name.startswith(".")
                      and entry.is_file())


def main():
    rule, folder, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
    items = list_files(folder)
    count = {"lower": count_lower, "letters": count_letters, "tuned": count_tuned}[rule]
    chunk = max(1, min(CHUNK, len(items) // (4 * workers)))
    if rule == "tuned":
        step = max(1, min(TUNED_FILES, len(items) // (4 * workers)))
        items = [items[start:start + step] for start in range(0, len(items), step)]
        chunk = 1
    total = Counter()
    with Pool(workers) as pool:
        for words in pool.imap_unordered(count, items, chunksize=chunk):
            total.update(words)
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.writelines(f"{count}\t{word}\n" for word, count in total.most_common())


if __name__ == "__main__":
    main()
