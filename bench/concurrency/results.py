#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ways for Python's worker processes to bring their results home.

usage: bench/concurrency/results.py

Each of ITEMS items gives a small dictionary of word counts; the counts of all of them
are wanted.  Work and result are the same for every way, and each result is checked
against a plain loop.  Prints microseconds an item: the time that passed, and the processor
time that the parent alone took, which is the limit when there are many workers.  Medians
of RUNS runs, and the range of the second.
"""

import multiprocessing
import os
import pickle
import statistics
import time
from collections import Counter

RUNS = 5
ITEMS = 100_000
ITEMS_OF_SHARED_DICTIONARY = 2_000
BATCH = 100
WORDS = [f"word{number}" for number in range(1000)]
WORKERS = len(os.sched_getaffinity(0))

context = multiprocessing.get_context("fork")


def numbers_of(item):
    """The words of an item, as indices into WORDS: ten."""
    return [(item * 7919 + step * step * 31) % 1000 for step in range(10)]


def count_item(item):
    counts = {}
    for number in numbers_of(item):
        counts[WORDS[number]] = counts.get(WORDS[number], 0) + 1
    return counts


def add(total, counts):
    for word, count in counts.items():
        total[word] = total.get(word, 0) + count


def sequentially(items):
    total = {}
    for item in range(items):
        add(total, count_item(item))
    return total


def through_pool(items, chunk):
    total = {}
    with context.Pool(WORKERS) as pool:
        for counts in pool.imap_unordered(count_item, range(items), chunksize=chunk):
            add(total, counts)
    return total


def run_workers(target, *arguments):
    workers = [context.Process(target=target, args=(number, *arguments))
               for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    return workers


def put_results(number, items, queue, batch):
    results = []
    for item in range(number, items, WORKERS):
        results.append(count_item(item))
        if len(results) == batch:
            queue.put(results)
            results = []
    queue.put(results)
    queue.put(None)


def through_queue(items, batch):
    total = {}
    queue = context.Queue()
    workers = run_workers(put_results, items, queue, batch)
    running = WORKERS
    while running:
        results = queue.get()
        running -= results is None
        for counts in results or ():
            add(total, counts)
    for worker in workers:
        worker.join()
    return total


def add_to_shared(number, items, total, lock):
    for item in range(number, items, WORKERS):
        with lock:
            add(total, count_item(item))


def through_shared_dictionary(items):
    with context.Manager() as manager:
        total = manager.dict()
        workers = run_workers(add_to_shared, items, total, context.Lock())
        for worker in workers:
            worker.join()
        return total.copy()


def send_partial(number, items, queue):
    total = {}
    for item in range(number, items, WORKERS):
        add(total, count_item(item))
    queue.put(total)


def one_partial_each(items):
    total = {}
    queue = context.Queue()
    workers = run_workers(send_partial, items, queue)
    for _ in workers:
        add(total, queue.get())
    for worker in workers:
        worker.join()
    return total


def count_in_place(number, items, counts):
    base = number * len(WORDS)
    for item in range(number, items, WORKERS):
        for word in numbers_of(item):
            counts[base + word] += 1


def in_shared_memory(items):
    counts = context.RawArray("Q", WORKERS * len(WORDS))
    for worker in run_workers(count_in_place, items, counts):
        worker.join()
    sums = (sum(counts[number::len(WORDS)]) for number in range(len(WORDS)))
    return {word: count for word, count in zip(WORDS, sums) if count}


def measure(name, items, bring_home):
    expected = sequentially(items)
    passed, parent = [], []
    for _ in range(RUNS):
        begin, begin_parent = time.perf_counter(), time.process_time()
        result = bring_home(items)
        parent.append((time.process_time() - begin_parent) * 1e6 / items)
        passed.append((time.perf_counter() - begin) * 1e6 / items)
        assert Counter(result) == Counter(expected), name
    print(f"{name:46} {statistics.median(passed):8.2f} {statistics.median(parent):8.2f}"
          f"   ({min(parent):.2f} to {max(parent):.2f})", flush=True)


def pickle_and_back(items):
    total = {}
    for item in range(items):
        add(total, pickle.loads(pickle.dumps(count_item(item))))
    return total


def main():
    print(f"{f'{WORKERS} workers, {ITEMS} items':46} {'passed':>8} {'parent':>8}   ({RUNS} runs)")
    measure("no workers", ITEMS, sequentially)
    measure("no workers, each result pickled and unpickled", ITEMS, pickle_and_back)
    measure("returned through the pool, one by one", ITEMS, lambda n: through_pool(n, 1))
    measure(f"returned through the pool, chunks of {BATCH}", ITEMS, lambda n: through_pool(n, BATCH))
    measure("shared queue, one by one", ITEMS, lambda n: through_queue(n, 1))
    measure(f"shared queue, batches of {BATCH}", ITEMS, lambda n: through_queue(n, BATCH))
    measure(f"shared dictionary ({ITEMS_OF_SHARED_DICTIONARY} items)", ITEMS_OF_SHARED_DICTIONARY,
            through_shared_dictionary)
    measure("one partial a worker, pickled once", ITEMS, one_partial_each)
    measure("counts in shared memory, in place", ITEMS, in_shared_memory)


if __name__ == "__main__":
    main()
