# SPDX-License-Identifier: Apache-2.0
"""Counts the words of the *.txt files of a folder with Polars, by the letters rule.

usage: POLARS_MAX_THREADS=N python polars_words.py FOLDER

Polars reads no plain text, so Python does; the rest is one query for its streaming engine, which
was faster than the one in memory.
"""

import os
import sys

import polars


def read_files(folder):
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".txt") and not entry.name.startswith("."):
                with open(entry.path, encoding="utf-8") as file:
                    yield file.read()


def main():
    text = polars.col("text")
    lines = text.str.replace_many(["\n", "\t", "\r"], [" ", " ", " "]).str.split(" ")
    word = text.str.replace_all(r"[^\pL]+", "").str.to_lowercase()
    (polars.LazyFrame({"text": list(read_files(sys.argv[1]))})
     .select(lines.explode().alias("text"))
     .group_by("text").len()
     .select("len", word.alias("word"))
     .filter(polars.col("word") != "")
     .group_by("word").agg(polars.col("len").sum())
     .sort("len", "word", descending=[True, False])
     .select("len", "word")
     .collect(engine="streaming")
     .write_csv(sys.stdout.buffer, include_header=False, separator="\t", quote_style="never"))


if __name__ == "__main__":
    main()
