#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Times what Python does with the same work: its multiprocessing.Pool above all.

usage: bench/calls/pool.py open-map-close WORKERS REPEATS N
       bench/calls/pool.py text WORKERS REPEATS FILE
       bench/calls/pool.py queue WORKERS REPEATS N/BATCH
       bench/calls/pool.py imap|fsum WORKERS REPEATS N

  open-map-close  f of N doubles, from before the pool is opened to after it is closed
  text            the words of FILE by the letters rule, on an open pool, whose workers have the text
                  since they were forked: only places in it are sent to them
  queue           N integers through a multiprocessing.Queue, from one process to another, which are
                  forked for it; in lists of BATCH, or one by one
  imap            N integers by imap_unordered on an open pool, one by one
  fsum            math.fsum of an array of N doubles

Prints "SECONDS DIGEST" as the programs beside this one do: see calls.h.
"""

import array
import math
import statistics
import struct
import sys
import time
from collections import Counter
from multiprocessing import get_context

# Pieces for each worker: few Counters to bring home, and workers that end at about the same time.
PIECES = 4

context = get_context("fork")
TEXT = ""


def numbers(count):
    return [(i * 7919 % 1000003) / 1000 - 500 for i in range(count)]


def curve(x):
    return x * x + math.sin(x) * math.cos(x)


def digest_of_numbers(values):
    return sum(struct.unpack(f"<{len(values)}Q", struct.pack(f"<{len(values)}d", *values))) % 2**64


def digest_of_words(counts):
    return sum(count * count + len(word.encode()) for word, count in counts.items()) % 2**64


def letters(token):
    return "".join([c.lower() for c in token if c.isalpha()])


def count_words(place):
    words = Counter(map(letters, TEXT[slice(*place)].split()))
    del words[""]
    return words


def cut(text, pieces):
    """Places of pieces that end behind white space."""
    edges = [0]
    for number in range(1, pieces):
        edge = max(edges[-1], len(text) * number // pieces)
        while edge < len(text) and not text[edge].isspace():
            edge += 1
        edges.append(edge)
    return list(zip(edges, edges[1:] + [len(text)]))


def count_in(pool, places):
    total = Counter()
    for words in pool.imap_unordered(count_words, places):
        total.update(words)
    return total


def open_map_close(workers, values):
    with context.Pool(workers) as pool:
        results = pool.map(curve, values)
        pool.close()
        pool.join()
    return results


def produce(queue, count, batch):
    for first in range(0, count, batch):
        queue.put(first if batch == 1 else list(range(first, first + batch)))
    queue.put(None)


def consume(queue, pipe):
    total = 0
    for batch in iter(queue.get, None):
        total += batch if isinstance(batch, int) else sum(batch)
    pipe.send(total)


def through_queue(count, batch):
    queue = context.Queue()
    here, there = context.Pipe(duplex=False)
    processes = [context.Process(target=produce, args=(queue, count, batch)),
                 context.Process(target=consume, args=(queue, there))]
    for process in processes:
        process.start()
    total = here.recv()
    for process in processes:
        process.join()
    return total


def add_one(number):
    return number + 1


def time_imap(workers, repeats, count):
    with context.Pool(workers) as pool:
        time_calls(repeats, lambda: sum(pool.imap_unordered(add_one, range(count))), int)


def time_fsum(repeats, count):
    # They come again after so many.
    period = array.array("d", numbers(min(count, 1000003)))
    values = (period * (count // len(period) + 1))[:count]
    time_calls(repeats, lambda: math.fsum(values), lambda value: digest_of_numbers([value]))


def time_calls(repeats, act, digest):
    act()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = act()
        seconds.append(time.perf_counter() - begin)
    print(f"{statistics.median(seconds):.9f} {digest(result)}")


def main():
    global TEXT
    way, workers, repeats, what = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    if way == "open-map-close":
        values = numbers(int(what))
        time_calls(repeats, lambda: open_map_close(workers, values), digest_of_numbers)
        return
    if way == "imap":
        time_imap(workers, repeats, int(what))
        return
    if way == "fsum":
        time_fsum(repeats, int(what))
        return
    if way == "queue":
        count, batch = map(int, what.split("/"))
        time_calls(repeats, lambda: through_queue(count, batch), int)
        return
    with open(what, encoding="utf-8") as file:
        TEXT = file.read()
    places = cut(TEXT, workers * PIECES)
    with context.Pool(workers) as pool:
        time_calls(repeats, lambda: count_in(pool, places), digest_of_words)


if __name__ == "__main__":
    main()
