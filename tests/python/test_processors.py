# SPDX-License-Identifier: Apache-2.0
"""OptimizedParallelProcessor: what plain Python loops come to, in their order, whatever happens."""

import array
import contextlib
import gc
import itertools
import math
import os
import signal
import statistics
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forkfold as main
import functions

PROCESS = ["process_data_spawn_per_item", "process_with_file_based_ipc",
           "process_with_excessive_queue_ops"]


@pytest.fixture(scope="module")
def processor():
    """Two workers, for all tests that do not look at the object itself."""
    with main.OptimizedParallelProcessor(2) as opened:
        yield opened


def plain(item):
    return item * item + math.sin(item) * math.cos(item)


def outcome(function, *args):
    """What a call returns, with its types, or how it fails."""
    try:
        result = function(*args)
    except Exception as error:
        return type(error), str(error)
    return repr(result)


# ---- One function of each item -----------------------------------------------

FLOATS = st.floats()
SMALL = st.integers(-2**53 - 2, 2**53 + 2)
NUMBERS = st.one_of(FLOATS, SMALL, st.integers(), st.integers(-2**1200, 2**1200), st.booleans(),
                    st.fractions(), st.complex_numbers())
LISTS = st.one_of(st.lists(FLOATS, min_size=1), st.lists(SMALL, min_size=1),
                  st.lists(st.one_of(st.floats(allow_nan=False, allow_infinity=False), SMALL),
                           min_size=1), st.lists(NUMBERS, min_size=1))


@pytest.mark.parametrize("method", PROCESS)
@settings(max_examples=60, deadline=None)
@given(data=LISTS)
def test_results_are_those_of_the_plain_loop(processor, method, data):
    assert outcome(getattr(processor, method), data) == \
        outcome(lambda: [plain(item) for item in data])


@settings(max_examples=100, deadline=None)
@given(NUMBERS)
def test_single_item_is_computed_by_pythons_operators(processor, item):
    assert outcome(processor.process_single_item, item) == outcome(plain, item)


@settings(max_examples=30, deadline=None)
@given(st.lists(LISTS | st.just([]), min_size=1).filter(any))
def test_batches_come_flattened_in_their_order(processor, batches):
    assert outcome(processor.batch_process_with_manager, batches) == \
        outcome(lambda: [plain(item) for batch in batches for item in batch])


@pytest.mark.parametrize("method", PROCESS)
@pytest.mark.parametrize("extra", [[], [Fraction(1, 3)]])
def test_many_results_keep_the_order_of_the_data(processor, method, extra):
    data = [*main.generate_test_data(30000), *(number / 7 for number in range(-20000, 0)), *extra]
    assert getattr(processor, method)(data) == [plain(item) for item in data]


@pytest.mark.parametrize("chunk_size", [1, 7, 10**6])
def test_chunk_size_changes_nothing(processor, chunk_size):
    data = [Fraction(number, 3) for number in range(500)]
    assert processor.process_with_file_based_ipc(data, chunk_size) == [plain(x) for x in data]
    assert processor.process_with_file_based_ipc(data, chunk_size=chunk_size) == \
        [plain(x) for x in data]


@pytest.mark.parametrize("convert", [list, tuple, iter, lambda data: range(1, 11)])
def test_data_need_not_be_a_list(processor, convert):
    data = main.generate_test_data(10)
    assert processor.process_data_spawn_per_item(convert(data)) == [plain(item) for item in data]


def test_data_of_arrays_are_pythons_numbers(processor):
    numpy = pytest.importorskip("numpy")
    for data in (numpy.linspace(-3, 3, 100), numpy.arange(2**62, 2**62 + 10),
                 array.array("d", [1.5, 2.5])):
        assert outcome(processor.process_data_spawn_per_item, data) == \
            outcome(lambda: [plain(item) for item in data.tolist()])
    with pytest.raises(TypeError, match="data must be a list"):
        processor.process_data_spawn_per_item(numpy.array(1.0))


def test_data_are_not_changed(processor):
    data = [1, 2.5, True, Fraction(1, 2)]
    before = list(data)
    processor.process_data_spawn_per_item(data)
    assert data == before


def test_exception_of_an_operator_is_raised_and_the_processor_goes_on(processor):
    for bad in (Decimal(1), "text", None, math.inf, 2**2000):
        with pytest.raises((TypeError, ValueError, OverflowError)) as caught:
            processor.process_data_spawn_per_item([1, bad, 2])
        with pytest.raises(type(caught.value)):
            plain(bad)
    assert processor.process_data_spawn_per_item([1]) == [plain(1)]


# ---- The pipeline ----------------------------------------------------------------

def plain_pipeline(data):
    return [((item * 2) + 10) ** 2 for item in data]


@settings(max_examples=60, deadline=None)
@given(st.one_of(LISTS, st.lists(st.decimals(allow_nan=False, places=3), min_size=1)))
def test_pipeline_gives_what_pythons_operators_give(processor, data):
    assert outcome(processor.run_pipeline, data) == outcome(plain_pipeline, data)


def test_pipeline_keeps_the_order_of_many(processor):
    data = [*range(-5000, 5000), *(number / 7 for number in range(3000)), Fraction(1, 3), 2**100]
    assert processor.run_pipeline(data) == plain_pipeline(data)


# ---- Statistics --------------------------------------------------------------

def plain_statistics(data):
    mean = sum(data) / len(data)
    return {"mean": mean, "variance": sum((x - mean) ** 2 for x in data) / len(data),
            "median": statistics.median(data)}


EXACT = [st.fractions(), st.decimals(allow_nan=False, allow_infinity=False, places=3,
                                     min_value=-10**6, max_value=10**6), st.integers(),
         st.integers(-2**100, 2**100)]


@settings(max_examples=100, deadline=None)
@given(st.one_of([st.lists(numbers, min_size=1) for numbers in
                  [*EXACT, st.floats(), st.one_of(st.integers(), st.floats(), st.fractions())]]))
def test_statistics_are_those_of_pythons_operators(processor, data):
    assert outcome(processor.compute_statistics_sequential, data) == \
        outcome(plain_statistics, data)


def test_statistics_of_fractions_are_the_true_ones(processor):
    data = [Fraction(number, 7) for number in range(10)]
    assert processor.compute_statistics_sequential(data) == {
        "mean": statistics.mean(data), "variance": statistics.pvariance(data),
        "median": statistics.median(data)}


# ---- Sums ------------------------------------------------------------------------

@settings(max_examples=100, deadline=None)
@given(st.one_of([st.lists(numbers, min_size=1) for numbers in
                  [*EXACT, st.floats(), NUMBERS, st.one_of(st.integers(), st.floats())]]),
       st.integers(1, 10))
def test_sum_is_that_of_pythons_operators(processor, data, chunk_size):
    expected = outcome(sum, data)
    assert outcome(processor.parallel_sum_spawn_many, data) == expected
    assert outcome(processor.parallel_sum_spawn_many, tuple(data), chunk_size) == expected


def test_sum_of_decimals_and_of_anything_that_adds(processor):
    assert processor.parallel_sum_spawn_many([Decimal("0.1")] * 3) == Decimal("0.3")
    assert processor.parallel_sum_spawn_many(range(10**5)) == sum(range(10**5))
    assert processor.parallel_sum_spawn_many([2**70, -1, 0.5]) == sum([2**70, -1, 0.5])
    with pytest.raises(TypeError):
        processor.parallel_sum_spawn_many(["a", "b"])


def test_sum_of_arrays_is_exact(processor):
    assert processor.parallel_sum_spawn_many(array.array("q", [2**62] * 4)) == 2**64
    assert processor.parallel_sum_spawn_many(array.array("d", [1e16, 1.0, -1e16])) == 1.0
    numpy = pytest.importorskip("numpy")
    assert processor.parallel_sum_spawn_many(numpy.arange(10**6)) == sum(range(10**6))


# ---- Matrices --------------------------------------------------------------------

def plain_product(left, right):
    return [[sum(a * b for a, b in zip(row, column)) for column in zip(*right)] for row in left]


def matrices(numbers):
    """Two that go together."""
    def pair(shape):
        rows, inner, columns = shape
        return st.tuples(*[st.lists(st.lists(numbers, min_size=width, max_size=width),
                                    min_size=height, max_size=height)
                           for height, width in ((rows, inner), (inner, columns))])
    return st.tuples(*[st.integers(1, 6)] * 3).flatmap(pair)


@settings(max_examples=100, deadline=None)
@given(st.one_of([matrices(numbers) for numbers in
                  [*EXACT, st.integers(-1000, 1000), st.integers(-2**70, 2**70),
                   st.one_of(st.integers(-9, 9), st.fractions())]]))
def test_product_is_that_of_pythons_operators(processor, pair):
    assert outcome(processor.parallel_matrix_multiply, *pair) == outcome(plain_product, *pair)


@settings(max_examples=50, deadline=None)
@given(st.one_of([matrices(numbers) for numbers in
                  [st.floats(-1e6, 1e6), st.one_of(st.integers(-9, 9), st.floats(-1e6, 1e6))]]))
def test_product_of_floats_is_as_near_as_floats_are(processor, pair):
    exact = plain_product(*[[[Fraction(number) for number in row] for row in matrix]
                            for matrix in pair])
    bound = plain_product(*[[[abs(number) for number in row] for row in matrix]
                            for matrix in pair])
    result = processor.parallel_matrix_multiply(*pair)
    for computed, true, most in zip(*map(itertools.chain.from_iterable, (result, exact, bound))):
        least = Fraction(sys.float_info.min)
        assert abs(Fraction(computed) - true) <= max(Fraction(most), least) * Fraction(20, 2**53)


def test_large_product_of_integers_is_exact(processor):
    left = [[row * column % 97 - 48 for column in range(320)] for row in range(310)]
    right = [[row + column for column in range(330)] for row in range(320)]
    numpy = pytest.importorskip("numpy")
    result = processor.parallel_matrix_multiply(left, right)
    assert result == (numpy.array(left) @ numpy.array(right)).tolist() and type(result[0][0]) is int


def test_product_of_arrays_is_an_array(processor):
    numpy = pytest.importorskip("numpy")
    left, right = numpy.arange(6.0).reshape(2, 3), numpy.arange(12.0).reshape(3, 4)
    for pair in ((left, right), (left.tolist(), right), (left, right.tolist())):
        result = processor.parallel_matrix_multiply(*pair)
        assert isinstance(result, numpy.ndarray) and (result == left @ right).all()


@pytest.mark.parametrize("left, right, error, words", [
    ([], [[1]], ValueError, "A must not be empty"), ([[1]], [], ValueError, "B must not be empty"),
    ([[]], [[1]], ValueError, "A must not be empty"), ([[1]], [[]], ValueError, "B must not be"),
    ([[], []], [[1]], ValueError, "A must not be empty"),
    ([[1, 2]], [[1, 2]], ValueError, "1 x 2 matrix cannot be multiplied by a 1 x 2"),
    ([[1, 2], [3]], [[1], [2]], ValueError, "row 1"), ([[1, 2]], [[1], [2, 3]], ValueError, "row 1"),
    (None, [[1]], TypeError, "A must be a list, not None"),
    ([[1]], 5, TypeError, "B must be a list, not 5"),
    ([1, 2], [[1]], TypeError, "a row of A must be a list, not 1"),
    ([[1]], [[1], 2], TypeError, "a row of B must be a list, not 2"),
    ([["a"]], [["b"]], TypeError, "multiply"),
])
def test_matrices_are_checked(processor, left, right, error, words):
    with pytest.raises(error, match=words):
        processor.parallel_matrix_multiply(left, right)


def test_rows_may_be_any_sequences(processor):
    left, right = [[1, 2], [3, 4]], [[5], [6]]
    for convert in (tuple, iter, lambda rows: map(tuple, rows)):
        assert processor.parallel_matrix_multiply(convert(left), convert(right)) == [[17], [39]]


def test_empty_arrays_are_no_matrices(processor):
    numpy = pytest.importorskip("numpy")
    with pytest.raises(ValueError, match="A must not be empty"):
        processor.parallel_matrix_multiply(numpy.empty((0, 3)), numpy.ones((3, 2)))
    with pytest.raises(TypeError, match="a row of A must be a list"):
        processor.parallel_matrix_multiply(numpy.ones(3), numpy.ones((3, 2)))


# ---- Primes ----------------------------------------------------------------------

def plain_primes(limit):
    return [number for number in range(2, limit)
            if all(number % divisor for divisor in range(2, math.isqrt(number) + 1))]


@settings(max_examples=60, deadline=None)
@given(st.integers(-100, 3000))
def test_primes_are_those_of_trial_division(processor, limit):
    assert outcome(processor.parallel_find_primes, limit) == outcome(plain_primes, limit)


def test_primes_of_a_large_limit(processor):
    primes = processor.parallel_find_primes(2 * 10**7)
    assert len(primes) == 1270607 and primes[-1] == 19999999
    assert primes == sorted(set(primes)) and set(map(type, primes)) == {int}


def test_lists_of_primes_of_different_lengths_follow_each_other(processor):
    longest = processor.parallel_find_primes(5 * 10**6)
    for limit in (10**6, 10**5, 4 * 10**6, 40_000, 4 * 10**6 + 1, 10, 10**6):
        primes = processor.parallel_find_primes(limit)
        assert primes == longest[:len(primes)] and longest[len(primes)] >= limit > primes[-1]


@pytest.mark.parametrize("limit", [2.0, 10.5, "10", None, [10]])
def test_limit_has_to_be_an_integer(processor, limit):
    with pytest.raises(TypeError, match="limit must be an integer, not"):
        processor.parallel_find_primes(limit)


def test_limit_may_be_an_integer_of_any_kind(processor):
    assert processor.parallel_find_primes(-2**70) == processor.parallel_find_primes(2) == []
    assert processor.parallel_find_primes(3) == [2]
    numpy = pytest.importorskip("numpy")
    assert processor.parallel_find_primes(numpy.int64(12)) == [2, 3, 5, 7, 11]
    with pytest.raises(ValueError, match="2\\*\\*64"):
        processor.parallel_find_primes(2**64)


# ---- Words -----------------------------------------------------------------------

def plain_counts(text):
    """By the rule "letters": each letter in lower case by itself."""
    words = ("".join(map(str.lower, filter(str.isalpha, word))) for word in text.split())
    return Counter(word for word in words if word)


# Letters that every Unicode version of the last years knows, and what is none.
LETTERS = st.text(alphabet="abcABC éßİΣσς中文\t\n\u2028\u00a0.,'-0123?\ud800\udfff😀")


@settings(max_examples=150, deadline=None)
@given(st.one_of(LETTERS, st.lists(LETTERS).map(" ".join)), st.integers(1, 1000))
def test_words_are_counted_as_by_a_plain_loop(processor, text, chunk_size):
    counts = processor.map_reduce_word_count(text, chunk_size)
    assert type(counts) is dict and counts == plain_counts(text)


def test_words_of_a_large_text(processor):
    text = main.generate_test_text(200000)
    counts = processor.map_reduce_word_count(text)
    assert counts == plain_counts(text) and sum(counts.values()) == 200000


def test_text_without_words_counts_nothing(processor):
    for text in ("", " \n\t", "1 2 3 ?"):
        assert processor.map_reduce_word_count(text) == {}


@pytest.mark.parametrize("text", [b"words", None, ["words"], 3])
def test_text_has_to_be_a_str(processor, text):
    with pytest.raises(TypeError, match="text must be a str, not"):
        processor.map_reduce_word_count(text)


# ---- What is handed in -------------------------------------------------------

@pytest.mark.parametrize("workers, error", [(0, ValueError), (-1, ValueError), (2.0, TypeError),
                                            ("two", TypeError)])
def test_number_of_workers_is_checked(workers, error):
    with pytest.raises(error, match="num_workers must be"):
        main.OptimizedParallelProcessor(workers)


def test_no_number_of_workers_means_the_cpus():
    with main.OptimizedParallelProcessor() as processor:
        assert processor.num_workers == main.available_cpus()


def test_timeout_and_verbose_are_keywords_only():
    with pytest.raises(TypeError):
        main.OptimizedParallelProcessor(2, 1.0)
    with pytest.raises(ValueError, match="timeout"):
        main.OptimizedParallelProcessor(2, timeout=-1)
    with pytest.raises(TypeError):
        main.OptimizedParallelProcessor(2, timeout=1.0, verbose=True, more=1)


DATA_METHODS = [*PROCESS, "batch_process_with_manager", "compute_statistics_sequential",
                "parallel_sum_spawn_many", "run_pipeline"]


@pytest.mark.parametrize("method", DATA_METHODS)
def test_data_have_to_be_there(processor, method):
    for empty in ([], (), iter(())):
        with pytest.raises(ValueError, match="data.* must not be empty"):
            getattr(processor, method)(empty)
    for nothing in (None, 3):
        with pytest.raises(TypeError, match="data.* must be a list"):
            getattr(processor, method)(nothing)


def test_arrays_have_to_have_something_in_them(processor):
    for method in DATA_METHODS:
        with pytest.raises(ValueError, match="must not be empty"):
            getattr(processor, method)(array.array("d"))


def test_batches_have_to_be_lists_with_something_in_them(processor):
    with pytest.raises(ValueError, match="data_batches must not be empty"):
        processor.batch_process_with_manager([[], []])
    with pytest.raises(TypeError, match="a batch must be a list, not 3"):
        processor.batch_process_with_manager([[1], 3])


CHUNKED = [("process_with_file_based_ipc", [1]), ("map_reduce_word_count", "words"),
           ("parallel_sum_spawn_many", [1])]


@pytest.mark.parametrize("method, data", CHUNKED)
def test_chunk_sizes_are_checked(processor, method, data):
    with pytest.raises(ValueError, match="chunk_size must be at least 1"):
        getattr(processor, method)(data, 0)
    with pytest.raises(TypeError, match="chunk_size must be an integer"):
        getattr(processor, method)(data, 2.5)


# ---- The pool of a processor -------------------------------------------------

def workers_of(processor):
    return {worker.pid for worker in processor._pool._pool}


def test_old_name_is_the_same_class():
    assert main.UnoptimizedParallelProcessor is main.OptimizedParallelProcessor


def test_one_pool_is_opened_at_the_start_and_serves_all_calls(lost_children):
    with main.OptimizedParallelProcessor(2) as processor:
        before = workers_of(processor)
        for method in PROCESS:
            getattr(processor, method)([Fraction(1)] * 100)
        assert workers_of(processor) == before


def test_exit_closes_and_joins(lost_children):
    processor = main.OptimizedParallelProcessor(2)
    called = []
    with processor as entered:
        assert entered is processor
        pool = processor._pool
        for name in ("close", "join", "terminate"):
            functions.spy(pool, name, called)
    assert called == ["close", "join"]


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("failing", ["close", "join"])
def test_exit_that_fails_terminates_and_joins(lost_children, failing, error):
    processor = main.OptimizedParallelProcessor(2)
    pool = processor._pool
    called = []

    def fail():
        delattr(pool, failing)
        raise error

    setattr(pool, failing, fail)
    functions.spy(pool, "terminate", called)
    if isinstance(error, Exception):
        with processor:
            pass
    else:
        with pytest.raises(KeyboardInterrupt), processor:
            pass
    assert called == ["terminate"] and pool._state == "TERMINATE"


def test_exit_after_an_exception_lets_it_through(lost_children):
    with pytest.raises(KeyError), main.OptimizedParallelProcessor(2):
        raise KeyError


def test_cleanup_ends_the_workers_and_leaves_the_object_usable(lost_children):
    processor = main.OptimizedParallelProcessor(2)
    for _ in range(3):
        assert processor.process_data_spawn_per_item([Fraction(2)] * 3) == [plain(2)] * 3
        pids = workers_of(processor)
        processor.cleanup()
        processor.cleanup()
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


CALLS = [
    *[(method, [number / 3 for number in range(50000)]) for method in PROCESS],
    *[(method, [Fraction(number, 3) for number in range(3000)]) for method in PROCESS],
    ("batch_process_with_manager", [[1.5] * 9000, [2] * 9000]),
    ("compute_statistics_sequential", [1, 2.5, 3]), ("parallel_sum_spawn_many", [1] * 1000),
    ("map_reduce_word_count", main.generate_test_text(300000)),
    ("parallel_find_primes", 10**7), ("run_pipeline", list(range(20000))),
]


def kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("method, data", CALLS)
def test_killed_workers_cost_nothing(lost_children, method, data):
    with main.OptimizedParallelProcessor(2) as processor:
        expected = getattr(processor, method)(data)
        kill(workers_of(processor))
        assert getattr(processor, method)(data) == expected
        for _ in range(3):
            killer = threading.Thread(target=kill, args=(workers_of(processor),))
            killer.start()
            assert getattr(processor, method)(data) == expected
            killer.join()


def test_workers_killed_in_a_large_product_cost_nothing():
    matrix = main.generate_test_matrix(700, 700)
    with main.OptimizedParallelProcessor(2) as processor:
        expected = processor.parallel_matrix_multiply(matrix, matrix)
        for _ in range(3):
            killer = threading.Thread(target=kill, args=(workers_of(processor),))
            killer.start()
            assert processor.parallel_matrix_multiply(matrix, matrix) == expected
            killer.join()


def test_worker_killed_by_its_item_is_tried_again(tmp_path):
    with main.OptimizedParallelProcessor(2) as processor:
        data = [1, functions.DiesWhenMultiplied(2.0, str(tmp_path / "once")), 3]
        assert processor.process_data_spawn_per_item(data) == [plain(1), plain(2.0), plain(3)]


def test_item_that_always_kills_is_named_and_the_processor_goes_on(tmp_path):
    with main.OptimizedParallelProcessor(2) as processor:
        with pytest.raises(main.WorkerDied) as caught:
            processor.process_data_spawn_per_item([1, 2, functions.DiesWhenMultiplied(2.0), 4])
        assert (caught.value.item, caught.value.signal) == (2, signal.SIGKILL)
        assert processor.process_data_spawn_per_item([5]) == [plain(5)]


def test_item_that_takes_too_long_raises_timeout():
    with main.OptimizedParallelProcessor(2, timeout=0.05) as processor:
        with pytest.raises(TimeoutError) as caught:
            processor.process_data_spawn_per_item([1, functions.HangsWhenMultiplied(), 3])
        assert isinstance(caught.value, main.WorkerTimeout) and caught.value.item == 1
        assert processor.process_data_spawn_per_item([5]) == [plain(5)]


def test_lost_supervisor_raises_until_cleanup():
    with main.OptimizedParallelProcessor(2) as processor:
        functions.kill_supervisor_of(workers_of(processor))
        for data in ([Fraction(1)], [1.0] * 50000):
            with pytest.raises(main.PoolError):
                while True:  # workers may be done with something before they are gone
                    processor.process_data_spawn_per_item(data)
        processor.cleanup()
        assert processor.process_data_spawn_per_item([5]) == [plain(5)]


def test_ctrl_c_interrupts_a_call_and_ends_the_workers():
    program = textwrap.dedent("""
        import os, signal, sys
        import forkfold as main
        class Hangs:
            def __mul__(self, other):
                os.write(1, b"hanging\\n")
                signal.pause()
        try:
            with main.OptimizedParallelProcessor(2) as processor:
                processor.process_data_spawn_per_item([Hangs()])
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """)
    with subprocess.Popen([sys.executable, "-c", program], start_new_session=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "hanging\n"
        os.killpg(process.pid, signal.SIGINT)
        # Its output ends when no worker has it any more.
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "interrupted\n", "")


def test_calls_leave_nothing_behind(processor):
    number, fraction = 1234.5, Fraction(1, 3)

    def call_all():
        processor.process_data_spawn_per_item([number] * 5000)
        processor.process_with_file_based_ipc([number, fraction])
        processor.run_pipeline([number, fraction])
        processor.parallel_sum_spawn_many([number, fraction])
        processor.compute_statistics_sequential([number, fraction])
        processor.parallel_matrix_multiply([[number]], [[number]])
        processor.map_reduce_word_count("two words")
        processor.parallel_find_primes(100)

    def held():
        gc.collect()
        return (len(gc.get_objects()), sys.getrefcount(number), sys.getrefcount(fraction),
                len(os.listdir("/proc/self/fd")))

    def leave_objects():
        before = held()
        for _ in range(50):
            call_all()
        after = held()  # before the comprehension, which is itself an object
        growth = [latter - former for former, latter in zip(before, after)]
        assert max(growth[1:]) <= 0
        return growth[0] > 0

    call_all()
    call_all()
    # What other threads begin may come once; what calls leave comes every time.
    assert not all(leave_objects() for _ in range(3))


# ---- How it went -------------------------------------------------------------

def test_metrics_are_of_all_calls():
    with main.OptimizedParallelProcessor(2) as processor:
        assert processor.metrics == {"total_time": 0.0, "items_per_second": 0.0,
                                     "cpu_utilization": 0.0}
        begin = time.perf_counter()
        processor.process_data_spawn_per_item([Fraction(1, 3)] * 2000)
        processor.compute_statistics_sequential([1] * 500)
        with pytest.raises(TypeError):
            processor.process_data_spawn_per_item([None])
        elapsed = time.perf_counter() - begin
        metrics = processor.metrics
        assert 0 < metrics["total_time"] <= elapsed
        assert metrics["items_per_second"] == pytest.approx(2501 / metrics["total_time"])
        assert metrics["cpu_utilization"] > 0


def test_verbose_says_what_calls_did(capsys):
    with main.OptimizedParallelProcessor(1, verbose=True) as processor:
        processor.process_data_spawn_per_item([1, 2, 3])
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("process_data_spawn_per_item: 3 items in ")
    with main.OptimizedParallelProcessor(1) as processor:
        processor.process_data_spawn_per_item([1, 2, 3])
    assert capsys.readouterr() == ("", "")


# ---- Data for tests ----------------------------------------------------------

def test_generated_data_are_those_of_old():
    assert main.generate_test_data(5) == [1, 2, 3, 4, 5] and main.generate_test_data(0) == []
    assert main.generate_test_matrix(2, 3) == [[1, 2, 3], [2, 4, 6]]
    assert main.generate_test_matrix(0, 3) == [] and main.generate_test_matrix(1, 0) == [[]]
    words = ("the quick brown fox jumps over lazy dog python programming parallel processing data "
             "analysis")
    assert main.generate_test_text(14) == words
    assert main.generate_test_text(30).split() == \
        list(itertools.islice(itertools.cycle(words.split()), 30))
    assert main.generate_test_text(0) == ""
