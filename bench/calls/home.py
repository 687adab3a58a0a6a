#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Times ways to bring the results of Python's worker processes home.

usage: bench/calls/home.py WAY WORKERS REPEATS ITEMS/PAIRS

  loop           no workers
  map            each item's result by Pool.map; the parent adds them up
  queue-1        the results one by one through a multiprocessing.Queue, likewise
  queue-batch    in lists of BATCH
  dictionary     workers add to a dictionary of a Manager, with a lock
  list           workers append their results to a list of a Manager; the parent adds them up
  partials       a dictionary of each worker's own, sent home once

Each of ITEMS items makes so many PAIRS of a key and a number, in a dictionary; the sum of each key
is wanted.  The same in home.c.  Pools and processes are started before or within the time as a
program would: the Pool once, the others for each call.
"""

import sys
from functools import partial

from pool import context, time_calls

KEYS = 16384
BATCH = 100


def result_of(pairs, item):
    first = item * 7919
    return {(first + number) % KEYS: 1 + (item + number) % 3 for number in range(pairs)}


def add(total, result):
    for key, value in result.items():
        total[key] = total.get(key, 0) + value


def loop(_workers, items, pairs):
    total = {}
    for item in range(items):
        add(total, result_of(pairs, item))
    return total


def by_map(pool, items, pairs):
    total = {}
    for result in pool.map(partial(result_of, pairs), range(items)):
        add(total, result)
    return total


def start(workers, target, *arguments):
    """The processes, of which each has every WORKERS-th item."""
    processes = [context.Process(target=target, args=(number, workers, *arguments))
                 for number in range(workers)]
    for process in processes:
        process.start()
    return processes


def join(processes):
    for process in processes:
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"a process ended with {process.exitcode}")


def put_results(number, workers, items, pairs, queue, batch):
    results = []
    for item in range(number, items, workers):
        results.append(result_of(pairs, item))
        if len(results) == batch:
            queue.put(results)
            results = []
    queue.put(results)
    queue.put(None)


def by_queue(batch, workers, items, pairs):
    total, running = {}, workers
    queue = context.Queue()
    processes = start(workers, put_results, items, pairs, queue, batch)
    while running:
        results = queue.get()
        running -= results is None
        for result in results or ():
            add(total, result)
    join(processes)
    return total


def add_to_shared(number, workers, items, pairs, total, lock):
    for item in range(number, items, workers):
        result = result_of(pairs, item)
        with lock:
            add(total, result)


def by_dictionary(workers, items, pairs):
    with context.Manager() as manager:
        total = manager.dict()
        join(start(workers, add_to_shared, items, pairs, total, context.Lock()))
        return total.copy()


def append_to_shared(number, workers, items, pairs, results):
    for item in range(number, items, workers):
        results.append(result_of(pairs, item))


def by_list(workers, items, pairs):
    total = {}
    with context.Manager() as manager:
        results = manager.list()
        join(start(workers, append_to_shared, items, pairs, results))
        for result in results[:]:
            add(total, result)
    return total


def send_partial(number, workers, items, pairs, queue):
    total = {}
    for item in range(number, items, workers):
        add(total, result_of(pairs, item))
    queue.put(total)


def by_partials(workers, items, pairs):
    total = {}
    queue = context.Queue()
    processes = start(workers, send_partial, items, pairs, queue)
    for _ in processes:
        add(total, queue.get())
    join(processes)
    return total


WAYS = {"loop": loop, "queue-1": partial(by_queue, 1), "queue-batch": partial(by_queue, BATCH),
        "dictionary": by_dictionary, "list": by_list, "partials": by_partials}


def digest(total):
    return sum((key + 1) * value for key, value in total.items())


def main():
    way, workers, repeats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    items, pairs = map(int, sys.argv[4].split("/"))
    expected = digest(loop(workers, items, pairs))

    def check(total):
        if digest(total) != expected:
            sys.exit("another result")
        return expected

    if way == "map":
        with context.Pool(workers) as pool:
            time_calls(repeats, lambda: by_map(pool, items, pairs), check)
    else:
        time_calls(repeats, lambda: WAYS[way](workers, items, pairs), check)


if __name__ == "__main__":
    main()
