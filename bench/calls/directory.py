#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the words of a folder with the Python package, and prints the most frequent.

usage: python bench/calls/directory.py FOLDER WORKERS
"""

import sys

import forkfold

counts = forkfold.count_words(sys.argv[1], processes=int(sys.argv[2]))
for word, count in counts.most_common(10):
    print(f"{count}\t{word}")
