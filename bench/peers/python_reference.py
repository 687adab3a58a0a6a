# SPDX-License-Identifier: Apache-2.0
"""The methods of forkfold.OptimizedParallelProcessor, on numpy and multiprocessing.

As one would write them who knows both: a pool that is kept, few large messages, work in numpy where
numpy gives the same results, and batches between the stages of a pipeline.  Results are equal, of
the same types, and in the same order.  python.py beside ../calls times them.
"""

import math
from collections import Counter
from itertools import chain
from multiprocessing import get_context

import numpy

context = get_context("fork")

# Pieces of work for each worker: enough for them to end together, few messages.
PIECES = 4

# Numbers that a worker sieves at once: a byte each for the odd ones, which fits the cache.
SEGMENT = 1 << 18

# Products of fewer multiplications are made here sooner than they are sent.
SENT_LEAST = 10**7

BATCH = 1000


# ---- What workers do ---------------------------------------------------------------------------------


def item(number):
    return number * number + math.sin(number) * math.cos(number)


def odd_primes(first, end):
    """Those from first, which is odd, up to end."""
    is_prime = numpy.ones((end - first + 1) // 2, dtype=bool)
    for prime in small_odd_primes(math.isqrt(end - 1)):
        multiple = max(prime * prime, -(-first // prime) * prime)
        if multiple % 2 == 0:
            multiple += prime
        is_prime[(multiple - first) // 2::prime] = False
    return numpy.flatnonzero(is_prime) * 2 + first


def small_odd_primes(most):
    is_prime = numpy.ones(most + 1, dtype=bool)
    is_prime[:3] = False
    is_prime[4::2] = False
    for number in range(3, math.isqrt(most) + 1, 2):
        if is_prime[number]:
            is_prime[number * number::2 * number] = False
    return numpy.flatnonzero(is_prime).tolist()


def multiply(left, right):
    """Integers stay integers, as in Python.  numpy multiplies those by a loop of its own, which goes
    down the columns of the second factor: they had better lie side by side."""
    return left @ numpy.asfortranarray(right)


def multiply_by_blas(left, right):
    """As floats, which BLAS takes, as long as those are exact."""
    terms = left.shape[1] * int(numpy.abs(left).max()) * int(numpy.abs(right).max())
    if left.dtype.kind == right.dtype.kind == "i" and terms >= 2**53:
        return multiply(left, right)
    return (left.astype(float) @ right.astype(float)).astype(numpy.result_type(left, right))


def letters(token):
    return "".join([c.lower() for c in token if c.isalpha()])


def count_words(text):
    words = Counter(map(letters, text.split()))
    del words[""]
    return words


def count_distinct_tokens(text):
    words = Counter()
    for token, count in Counter(text.split()).items():
        words[letters(token)] += count
    del words[""]
    return words


def double(numbers):
    return [number * 2 for number in numbers]


def add_ten(numbers):
    return [number + 10 for number in numbers]


def square(numbers):
    return [number**2 for number in numbers]


def stage(function, source, target):
    """Between two pipes, until there is nothing to come."""
    while True:
        try:
            batch = source.recv()
        except EOFError:
            return
        target.send(function(batch))


# ---- The class -----------------------------------------------------------------------------------------


def cut(text, pieces):
    """Pieces that end behind white space."""
    start = 0
    for number in range(1, pieces + 1):
        end = len(text) * number // pieces
        while end < len(text) and not text[end].isspace():
            end += 1
        if end > start:
            yield text[start:end]
        start = max(start, end)


class Processor:
    """One pool for its lifetime."""

    count_words = staticmethod(count_words)

    def __init__(self, workers):
        self.workers = workers
        self.pool = context.Pool(workers)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.pool.close()
        self.pool.join()

    def process_data_spawn_per_item(self, data):
        # Not numpy's sine, which may differ from Python's in the last bit.
        return self.pool.map(item, data)

    def parallel_find_primes(self, limit):
        if limit <= 3:
            return [2] if limit == 3 else []
        size = max(SEGMENT, limit // (PIECES * self.workers)) & ~1
        segments = [(first, min(first + size, limit)) for first in range(3, limit, size)]
        found = self.pool.starmap(odd_primes, segments, 1)
        return [2] + numpy.concatenate(found).tolist()

    def parallel_matrix_multiply(self, left, right):
        left, right = numpy.array(left), numpy.array(right)
        if left.size * right.shape[1] < SENT_LEAST:
            return multiply(left, right).tolist()
        # The second factor goes to each worker once.
        blocks = numpy.array_split(left, self.workers)
        products = self.pool.starmap(multiply, [(block, right) for block in blocks], 1)
        return numpy.concatenate(products).tolist()

    def map_reduce_word_count(self, text):
        total = Counter()
        pieces = cut(text, PIECES * self.workers)
        for words in self.pool.imap_unordered(self.count_words, pieces):
            total.update(words)
        return dict(total)

    def run_pipeline(self, data):
        """A process for each stage, and one that feeds the first, for pipes hold little."""
        pipes = [context.Pipe(duplex=False) for _ in range(4)]
        tasks = [(self.feed, (data, pipes[0][1]))]
        tasks += [(stage, (function, pipes[number][0], pipes[number + 1][1]))
                  for number, function in enumerate((double, add_ten, square))]
        processes = [context.Process(target=self.run_alone, args=(pipes, *task))
                     for task in tasks]
        for process in processes:
            process.start()
        for number, (source, target) in enumerate(pipes):
            target.close()
            if number < 3:
                source.close()
        results = list(chain.from_iterable(self.receive(pipes[3][0])))
        for process in processes:
            process.join()
        return results

    @staticmethod
    def run_alone(pipes, function, arguments):
        """Closes the ends that are others', or no stage would see the end of the one before."""
        for end in chain.from_iterable(pipes):
            if not any(end is argument for argument in arguments):
                end.close()
        function(*arguments)

    @staticmethod
    def feed(data, target):
        for start in range(0, len(data), BATCH):
            target.send(data[start:start + BATCH])

    @staticmethod
    def receive(source):
        while True:
            try:
                yield source.recv()
            except EOFError:
                return


class TunedProcessor(Processor):
    """What helps if one thinks of it: to clean each distinct token once, and to multiply integers as
    floats, by BLAS, whose threads need no other process."""

    count_words = staticmethod(count_distinct_tokens)

    def parallel_matrix_multiply(self, left, right):
        return multiply_by_blas(numpy.array(left), numpy.array(right)).tolist()
