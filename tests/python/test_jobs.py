# SPDX-License-Identifier: Apache-2.0
"""Jobs on numbers beside what plain Python says."""

import array
import math
import os
import signal
import statistics
import subprocess
import sys
import threading
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import forkfold
import functions

INT64 = st.integers(-2**63, 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)


# ---- Sums --------------------------------------------------------------------

@given(st.lists(INT64, max_size=50))
@settings(deadline=None)
def test_sum_of_integers_is_exact(numbers):
    assert forkfold.sum(numbers) == sum(numbers)
    assert forkfold.sum(tuple(numbers)) == sum(numbers)
    assert forkfold.sum(iter(numbers)) == sum(numbers)
    assert forkfold.sum(array.array("q", numbers)) == sum(numbers)


@given(st.lists(st.floats(-1e300, 1e300), max_size=50))
@settings(deadline=None)
def test_sum_of_floats_is_rounded_once(numbers):
    expected = math.fsum(numbers)
    assert repr(forkfold.sum(numbers)) == repr(expected) or not numbers
    assert forkfold.sum(array.array("d", numbers)) == expected


@given(st.lists(st.one_of(st.integers(), st.booleans(), FLOATS), max_size=20))
@settings(deadline=None)
def test_sum_of_mixed_numbers_is_that_of_the_builtin(numbers):
    kinds = {type(number) for number in numbers}
    if kinds != {float}:
        result = forkfold.sum(numbers)
        assert result == sum(numbers) and type(result) is type(sum(numbers))


@pytest.mark.parametrize("numbers", [
    [2**64, -1], [1, 0.5], [True, True], [Decimal("0.1")] * 3, [Fraction(1, 3)] * 3, [1j, 2],
    [0.5, Fraction(1, 2)], range(10), {1, 2}, b"\x01\xff", [],
])
def test_sum_of_anything_else_is_that_of_the_builtin(numbers):
    result = forkfold.sum(numbers)
    assert result == sum(numbers) and type(result) is type(sum(numbers))


def test_sum_of_what_are_no_numbers_fails_as_the_builtin_does():
    with pytest.raises(TypeError):
        forkfold.sum(["a"])
    with pytest.raises(TypeError):
        forkfold.sum(5)


def test_sums_that_no_float_is_raise():
    assert forkfold.sum([1e308, 1e308, -1e308]) == 1e308
    assert forkfold.sum([math.inf, 1.0]) == math.inf
    assert math.isnan(forkfold.sum([math.nan, 1.0]))
    with pytest.raises(OverflowError):
        forkfold.sum([1e308, 1e308])
    with pytest.raises(OverflowError):
        forkfold.sum([math.inf, -math.inf])


@pytest.mark.parametrize("code", "bBhHiIlLqQfd")
def test_arrays_of_all_types_are_summed(code):
    numbers = array.array(code, [1, 2, 100])
    result = forkfold.sum(numbers)
    assert result == 103 and isinstance(result, float if code in "fd" else int)
    assert forkfold.sum(memoryview(numbers)[::2]) == 101
    assert forkfold.sum(memoryview(numbers)[::-1]) == 103
    assert forkfold.statistics(memoryview(numbers)[::2]).max == 100


@pytest.mark.parametrize("kind", ["u1", "i1", "i4", "i8", "u8", "f2", "f4", "f8", ">i4", ">f8", "?",
                                  "O", "c16"])
def test_arrays_of_numpy_are_summed(kind):
    numpy = pytest.importorskip("numpy")
    numbers = numpy.array([1, 0, 1], kind)
    assert forkfold.sum(numbers) == 2
    assert forkfold.sum(numbers[::2]) == 2
    assert forkfold.sum(numbers[:0]) == 0


def test_numbers_that_are_not_aligned_are_summed():
    numpy = pytest.importorskip("numpy")
    numbers = numpy.frombuffer(b"\0" + numpy.arange(9.0).tobytes(), "f8", offset=1)
    assert forkfold.sum(numbers) == 36 and forkfold.statistics(numbers).median == 4


def test_shared_arrays_are_summed_by_workers(pool):
    pytest.importorskip("numpy")
    numbers = pool.array(300_000, "i8")
    numbers[:] = range(300_000)
    assert forkfold.sum(numbers, pool=pool) == 299_999 * 150_000
    found = forkfold.statistics(numbers, pool=pool)
    assert (found.count, found.median, found.min, found.max) == (300_000, 149_999.5, 0, 299_999)
    assert forkfold.sum(numbers[5:], pool=pool) == 299_999 * 150_000 - 10


# ---- Statistics --------------------------------------------------------------

@given(st.lists(st.one_of(INT64, st.integers(-5, 5)), min_size=1, max_size=40))
@settings(deadline=None)
def test_statistics_of_integers_are_true(numbers):
    found = forkfold.statistics(numbers)
    exact = [Fraction(number) for number in numbers]
    assert found.count == len(numbers)
    assert found.mean == float(statistics.mean(exact))
    assert found.variance == float(statistics.pvariance(exact))
    assert found.median == float(statistics.median(exact))
    assert (found.min, found.max) == (min(numbers), max(numbers))
    assert type(found.min) is int


@given(st.lists(st.floats(-1e150, 1e150), min_size=1, max_size=40))
@settings(deadline=None)
def test_statistics_of_floats_are_true(numbers):
    found = forkfold.statistics(numbers)
    exact = [Fraction(number) for number in numbers]
    assert found.mean == float(statistics.mean(exact))
    assert found.variance == float(statistics.pvariance(exact))
    assert found.median == float(statistics.median(exact))
    assert (found.min, found.max) == (min(numbers), max(numbers))
    assert forkfold.statistics(array.array("d", numbers)) == found


@pytest.mark.parametrize("numbers", [
    [2**64, 1, 5], [1, 0.5, 0.25], [Decimal("0.1"), Decimal("0.3")], [Fraction(1, 3), Fraction(1)],
])
def test_statistics_of_anything_else_are_those_of_python(numbers):
    assert forkfold.statistics(numbers) == forkfold.Statistics(
        len(numbers), statistics.mean(numbers), statistics.pvariance(numbers),
        statistics.median(numbers), min(numbers), max(numbers))


@pytest.mark.parametrize("numbers", [[], (), b"", iter(()), [2**64][:0]])
def test_statistics_of_nothing_are_refused(numbers):
    with pytest.raises(ValueError, match="no numbers"):
        forkfold.statistics(numbers)


# ---- Matrices ----------------------------------------------------------------

def multiply(left, right):
    return [[sum(row[k] * right[k][j] for k in range(len(right))) for j in range(len(right[0]))]
            for row in left]


@st.composite
def factors(draw, elements):
    rows, depth, columns = (draw(st.integers(1, 5)) for _ in range(3))
    return tuple(draw(st.lists(st.lists(elements, min_size=across, max_size=across),
                               min_size=down, max_size=down))
                 for down, across in ((rows, depth), (depth, columns)))


@given(factors(st.one_of(st.integers(), INT64, st.integers(-2**26, 2**26), st.integers(-9, 9))))
@settings(deadline=None)
def test_products_of_integers_are_exact(matrices):
    result = forkfold.matmul(*matrices)
    assert result == multiply(*matrices)
    assert all(type(number) is int for row in result for number in row)


@given(factors(st.one_of(st.integers(2**53 - 3, 2**53 + 3), st.integers(2**26 - 3, 2**27 + 3),
                         st.integers(-1, 1))))
@settings(deadline=None)
def test_products_of_integers_near_the_bound_are_exact(matrices):
    assert forkfold.matmul(*matrices) == multiply(*matrices)


@given(factors(st.integers(-2**8, 2**8).map(lambda number: number / 16)))
@settings(deadline=None)
def test_products_of_floats_are_right(matrices):
    result = forkfold.matmul(*matrices)
    assert result == multiply(*matrices)
    assert all(type(number) is float for row in result for number in row)


@given(factors(st.one_of(st.integers(-2**70, 2**70), st.fractions(max_denominator=9),
                         st.booleans())))
@settings(deadline=None)
def test_products_of_anything_else_are_those_of_python(matrices):
    result = forkfold.matmul(*matrices)
    assert result == multiply(*matrices)


def test_products_of_mixed_types_are_those_of_python():
    assert forkfold.matmul([[1, 2]], [[0.5], [0.25]]) == [[1.0]]
    assert forkfold.matmul([[1, 0.5]], [[2], [4]]) == [[4.0]]
    assert forkfold.matmul([[Decimal(1)]], [[Decimal("0.1")]]) == [[Decimal("0.1")]]
    assert forkfold.matmul(((1, 2),), (array.array("q", [3]), range(4, 5))) == [[11]]


def test_products_of_what_has_no_elements():
    assert forkfold.matmul([], []) == []
    assert forkfold.matmul([[], []], []) == [[], []]


@pytest.mark.parametrize("left, right, sentence", [
    ([[1, 2]], [[1, 2]], "1 x 2 .* 1 x 2"),
    ([[1, 2, 3]], [[1], [2]], "1 x 3 .* 2 x 1"),
    ([], [[1]], "0 x 0 .* 1 x 1"),
    ([[1]], [], "1 x 1 .* 0 x 0"),
    ([[1, 2], [3]], [[1], [2]], "row 1 .* 2 numbers"),
    ([[1, 2]], [[1], [2, 3]], "row 1 .* 1 numbers"),
    ([[2**99, 2], [3]], [[1], [2]], "row 1 .* 2 numbers"),
])
def test_matrices_that_do_not_go_together_are_refused(left, right, sentence):
    with pytest.raises(ValueError, match=sentence):
        forkfold.matmul(left, right)


def test_what_is_no_matrix_is_refused():
    with pytest.raises(TypeError):
        forkfold.matmul([1, 2], [[1], [2]])
    with pytest.raises(TypeError):
        forkfold.matmul([["a"]], [["b"]])


@pytest.mark.parametrize("kind", [int, float])
@pytest.mark.parametrize("has_pool", [True, False])
def test_large_products_are_right(pool, kind, has_pool):
    numpy = pytest.importorskip("numpy")
    size = 330 if has_pool else 810
    left = numpy.arange(size * size).reshape(size, size) % 1000 - 500
    right = left.T + 1
    expected = left @ right
    result = forkfold.matmul(left.astype(kind).tolist(), right.astype(kind).tolist(),
                             pool=pool if has_pool else None)
    assert result == expected.tolist()
    assert type(result[0][0]) is kind
    result = forkfold.matmul(left.astype(kind), right.astype(kind),
                             pool=pool if has_pool else None)
    assert (result == expected).all() and result.dtype == numpy.dtype(kind)


def test_without_openblas_products_are_right(monkeypatch):
    monkeypatch.setattr(forkfold.jobs._native, "multiply", lambda *_factors: None)
    assert forkfold.matmul([[1, 2]], [[3], [4]]) == [[11]]
    assert forkfold.matmul([[0.5, 2]], [[3.0], [4.0]]) == [[9.5]]
    numpy = pytest.importorskip("numpy")
    for kind in ("i4", "i8", "f4", "f8"):
        product = forkfold.matmul(numpy.array([[1, 2]], kind), numpy.array([[3], [4]], kind))
        assert product.tolist() == [[11]]
        assert product.dtype == ("i8" if kind[0] == "i" else kind)


@pytest.mark.parametrize("kinds, result", [
    (("f8", "f8"), "f8"), (("f4", "f4"), "f4"), (("f4", "f8"), "f8"), (("i4", "f8"), "f8"),
    (("i8", "i8"), "i8"), (("u1", "i2"), "i8"), (("c16", "f8"), "c16"), (("O", "O"), "O"),
    ((">f8", ">f8"), "f8"), (("i8", "f4"), "f8"),
])
def test_products_of_arrays_have_the_type_of_numpy(kinds, result):
    numpy = pytest.importorskip("numpy")
    left = numpy.arange(6).reshape(2, 3).astype(kinds[0])
    right = numpy.arange(12).reshape(3, 4).astype(kinds[1])
    expected = numpy.arange(6).reshape(2, 3) @ numpy.arange(12).reshape(3, 4)
    for factor in (right, numpy.asfortranarray(right), right[::-1][::-1]):
        product = forkfold.matmul(left, factor)
        assert product.dtype == result and (product == expected).all()
    assert (forkfold.matmul(left.tolist(), right) == expected).all()


def test_products_of_arrays_of_integers_are_exact():
    numpy = pytest.importorskip("numpy")
    large = numpy.array([[2**62, 3], [-2**63, 1]])
    assert forkfold.matmul(large, large).tolist() == multiply(large.tolist(), large.tolist())
    medium = numpy.array([[2**30 + 1, 2**30]])
    result = forkfold.matmul(medium, medium.T)
    assert result.dtype == numpy.int64 and result.tolist() == [[(2**30 + 1)**2 + 2**60]]
    ends = numpy.array([[2**62]]), numpy.array([[-2, 2]])
    assert forkfold.matmul(*ends).tolist() == [[-2**63, 2**63]]
    assert forkfold.matmul(ends[0], ends[1][:, :1]).dtype == numpy.int64


def test_arrays_without_elements_or_with_other_dimensions():
    numpy = pytest.importorskip("numpy")
    assert (forkfold.matmul(numpy.zeros((2, 0)), numpy.zeros((0, 3))) == numpy.zeros((2, 3))).all()
    assert forkfold.matmul(numpy.zeros((0, 2), int), numpy.zeros((2, 3), int)).shape == (0, 3)
    for left, right in (((2, 3), (2, 3)), ((3,), (3, 1)), ((2, 2, 2), (2, 2)), ((), (1, 1))):
        with pytest.raises(ValueError, match="cannot be multiplied"):
            forkfold.matmul(numpy.zeros(left), numpy.zeros(right))


# ---- Primes ------------------------------------------------------------------

def sieve(limit):
    numbers = [True] * limit
    for number in range(2, limit):
        if numbers[number]:
            numbers[number * number::number] = [False] * len(numbers[number * number::number])
    return [number for number in range(2, limit) if numbers[number]]


@given(limit=st.integers(-5, 20_000))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_primes_are_those_of_a_sieve(pool, limit):
    expected = sieve(max(limit, 0))
    assert forkfold.primes(limit, pool=pool).tolist() == expected
    assert forkfold.count_primes(limit, pool=pool) == len(expected)


@pytest.mark.parametrize("limit, primes", [(-1, []), (0, []), (2, []), (3, [2]), (4, [2, 3]),
                                           (True, []), (30, sieve(30)), (100_000, sieve(100_000))])
def test_primes_need_no_pool(limit, primes):
    assert forkfold.primes(limit).tolist() == primes
    assert forkfold.count_primes(limit) == len(primes)


@pytest.mark.usefixtures("lost_children")
def test_many_primes_are_counted(pool):
    assert forkfold.count_primes(20_000_000) == 1_270_607
    assert len(forkfold.primes(20_000_000, pool=pool)) == 1_270_607


def test_list_of_primes_outlives_its_pool():
    with forkfold.Pool(1) as pool:
        primes = forkfold.primes(100, pool=pool)
    del pool
    assert primes.tolist() == sieve(100)


@pytest.mark.parametrize("limit", [2.0, "10", None, Decimal(3)])
def test_limit_that_is_no_integer_is_refused(limit):
    for job in (forkfold.primes, forkfold.count_primes):
        with pytest.raises(TypeError, match="integer"):
            job(limit)


def test_limit_beyond_64_bits_is_refused():
    with pytest.raises(ValueError, match="2\\*\\*64"):
        forkfold.primes(2**64)


@pytest.mark.parametrize("limit", [2**55, 2**64 - 1])
def test_lists_of_primes_that_no_memory_holds_are_refused(pool, limit):
    for lent in (pool, None):
        with pytest.raises(MemoryError, match=f"primes below {limit} .* GiB.* available.*count_primes"):
            forkfold.primes(limit, pool=lent)
    assert forkfold.primes(10, pool=pool).tolist() == [2, 3, 5, 7]


def test_primes_without_numpy():
    done = subprocess.run([sys.executable, "-c", """
import sys
sys.modules["numpy"] = None
import forkfold
primes = forkfold.primes(12)
assert isinstance(primes, memoryview) and primes.itemsize == 4
assert primes.tolist() == [2, 3, 5, 7, 11] and forkfold.primes(2).tolist() == []
assert forkfold.matmul([[2]], [[3]]) == [[6]]
"""], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


# ---- Chunks ------------------------------------------------------------------

@pytest.mark.parametrize("items, workers, seconds, size", [
    (100_000, 4, 0, 6_250), (1_000, 4, 0, 100), (399, 4, 0, 99), (50, 4, 0, 12), (10, 8, 0, 1),
    (100_000, 4, 0.001, 250), (100_000, 4, 1, 1)])
def test_chunk_sizes(items, workers, seconds, size):
    assert forkfold.chunk_size(items, workers, seconds) == size


@pytest.mark.parametrize("arguments", [(0, 4), (-1, 4), (5, 0), (5, 1, -1), (5, 1, math.nan)])
def test_chunks_of_nothing_are_refused(arguments):
    with pytest.raises(ValueError):
        forkfold.chunk_size(*arguments)


# ---- Pools that are lent -----------------------------------------------------

def test_what_is_no_pool_is_refused():
    for job in (lambda: forkfold.primes(10, pool=2), lambda: forkfold.sum([1], pool=2),
                lambda: forkfold.statistics([1], pool=2),
                lambda: next(forkfold.Pipeline(abs).run([1], pool=2))):
        with pytest.raises(TypeError, match="pool must be a forkfold.Pool, not 2"):
            job()


def test_closed_pools_are_refused():
    pool = forkfold.Pool(1)
    pool.terminate()
    for job in (lambda: forkfold.primes(10, pool=pool), lambda: forkfold.sum([1], pool=pool)):
        with pytest.raises(ValueError, match="not running"):
            job()


def test_calls_and_jobs_of_many_threads_share_a_pool(pool):
    expected = len(sieve(300_000))
    failures = []

    def work(number):
        try:
            for i in range(10):
                if number % 2:
                    assert forkfold.count_primes(300_000, pool=pool) == expected
                else:
                    assert pool.map(functions.square, range(50)) == [i * i for i in range(50)]
                    assert pool.apply_async(functions.square, (i,)).get() == i * i
                    assert sum(pool.imap_unordered(functions.square, range(9))) == 204
        except BaseException as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_other_threads_go_on_during_a_job(pool):
    begun = threading.Event()
    turns = []

    def end_the_job():
        begun.wait()
        for _ in range(1000):
            turns.append(None)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=end_the_job)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        begun.set()
        forkfold.count_primes(10**15, pool=pool)
    thread.join()
    assert len(turns) == 1000


def test_job_on_a_pool_that_another_thread_closes_ends():
    pool = forkfold.Pool(1)
    # So that the job does not come to its turn.
    pool.apply_async(signal.pause)
    raised = []
    begun = threading.Event()

    def job():
        begun.set()
        try:
            forkfold.count_primes(10**6, pool=pool)
        except ValueError as error:
            raised.append(str(error))

    thread = threading.Thread(target=job)
    thread.start()
    begun.wait()
    pool.terminate()
    thread.join()
    assert raised == ["Pool not running"]


INTERRUPTED = """
import os, signal, threading, forkfold, forkfold.jobs
turns = []
def on_alarm(number, frame):
    turns.append(number)
    if len(turns) == 3:
        os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGALRM, on_alarm)
{prepare}
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
try:
    forkfold.count_primes(10**15{pool})
except KeyboardInterrupt:
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(len(turns) >= 3{check})
"""


@pytest.mark.parametrize("prepare, pool, check", [
    ("", "", ""),
    ("pool = forkfold.Pool(2)", ", pool=pool", ", pool.map(abs, [-1, -2]) == [1, 2]"),
])
def test_handlers_run_during_a_job_and_interrupt_it(prepare, pool, check):
    program = INTERRUPTED.format(prepare=prepare, pool=pool, check=check)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True,
                          text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == {"True"}


def test_handler_may_begin_no_other_job_on_the_pool():
    program = INTERRUPTED.format(prepare="""
pool = forkfold.Pool(2)
def on_alarm(number, frame):
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert forkfold.sum([1, 2]) == 3
    try:
        forkfold.sum([1, 2], pool=pool)
    except RuntimeError as error:
        turns[:] = [1, 2, 3]
        raise KeyboardInterrupt from error
signal.signal(signal.SIGALRM, on_alarm)
""", pool=", pool=pool", check=", pool.map(abs, [-3]) == [3]")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True,
                          text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True True\n", "")


def test_handler_may_close_the_pool_of_the_job():
    done = subprocess.run([sys.executable, "-c", """
import signal, forkfold
pool = forkfold.Pool(2)
signal.signal(signal.SIGALRM, lambda number, frame: pool.terminate())
signal.setitimer(signal.ITIMER_REAL, 0.01)
try:
    forkfold.count_primes(10**15, pool=pool)
except ValueError as error:
    print(error)
"""], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Pool not running\n", "")


def test_who_listens_for_signals_hears_them_after_a_job(pool):
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    seen = []
    old_handler = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    old_descriptor = signal.set_wakeup_fd(write)
    try:
        thread = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
        thread.start()
        forkfold.count_primes(10**9, pool=pool)
        thread.join()
        assert signal.set_wakeup_fd(old_descriptor) == write
        assert seen == [signal.SIGUSR1] and bytes([signal.SIGUSR1]) in os.read(read, 100)
    finally:
        signal.set_wakeup_fd(old_descriptor)
        signal.signal(signal.SIGUSR1, old_handler)
        os.close(read)
        os.close(write)


def test_killed_workers_are_replaced_during_a_job(pool):
    victim = pool._pool[0].pid
    os.kill(victim, signal.SIGKILL)
    assert forkfold.count_primes(10**8, pool=pool) == 5_761_455
