# SPDX-License-Identifier: Apache-2.0
"""ParallelDataProcessor: what a plain loop over the files comes to, whatever happens to some."""

import functools
import logging
import operator
import os
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forkfold
import functions


def texts_of(directory, processor=None):
    processor = processor or forkfold.ParallelDataProcessor(2)
    return sorted(processor.process_directory(directory, functions.identity, functions.append, []))


@pytest.fixture
def directory(tmp_path):
    """Forty files with as many words as their number says."""
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text("word " * number)
    return tmp_path


# ---- What is processed -------------------------------------------------------

@pytest.mark.parametrize("workers", [None, 1, 2, 5])
def test_results_are_folded_from_the_initial_value(directory, workers):
    processor = forkfold.ParallelDataProcessor(workers)
    assert processor.process_directory(directory, functions.words_of, operator.add, 1000) == \
        1000 + sum(range(40))
    assert processor.failures == []
    assert processor.num_workers == (workers or forkfold.available_cpus())


TEXTS = st.one_of(st.text(alphabet="a\r\n\ufeffé \u2028😀\0"), st.text())


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(TEXTS.map(lambda text: text.encode()), st.binary())))
def test_texts_are_those_that_open_gives(contents):
    with tempfile.TemporaryDirectory() as directory:
        expected, bad = [], []
        for number, content in enumerate(contents):
            path = Path(directory, f"{number}.txt")
            path.write_bytes(content)
            try:
                with open(path, "r", encoding="utf-8") as file:
                    expected.append(file.read())
            except UnicodeDecodeError:
                bad.append(str(path))
        Path(directory, "one-at-least.txt").write_text("")
        processor = forkfold.ParallelDataProcessor(2)
        assert texts_of(directory, processor) == sorted([*expected, ""])
        assert sorted(path for path, _ in processor.failures) == sorted(bad)
        assert all(isinstance(error, UnicodeDecodeError) for _, error in processor.failures)


def test_only_text_files_of_the_directory_itself_are_processed(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "nothing")
    for name in (".hidden.txt", "b.text", "c.TXT", "txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "below.txt").mkdir()
    (tmp_path / "below.txt" / "d.txt").write_text("d")
    os.mkfifo(tmp_path / "fifo.txt")
    assert texts_of(tmp_path) == ["a", "a"]


@pytest.mark.parametrize("convert", [str, os.fsencode, Path])
def test_directory_is_any_path_and_names_are_any_bytes(tmp_path, convert):
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff.txt")).write_text("odd")
    assert texts_of(convert(tmp_path)) == ["odd"]
    processor = forkfold.ParallelDataProcessor(1)
    processor.process_directory(convert(tmp_path), functions.invert, operator.add, 0)
    assert processor.failures[0].path == os.fsdecode(bytes(tmp_path) + b"/\xff.txt")


def test_results_that_are_none_are_not_folded(directory):
    result = forkfold.ParallelDataProcessor(2).process_directory(
        directory, functions.words_if_even, functions.append, [])
    assert sorted(result) == list(range(0, 40, 2))


def test_results_are_folded_while_others_are_not_there(tmp_path):
    (tmp_path / "quick.txt").write_text("quick")
    (tmp_path / "slow.txt").write_text(f"wait for {tmp_path}/folded")

    def fold(total, text):
        (tmp_path / "folded").touch()
        return [*total, text]

    assert forkfold.ParallelDataProcessor(2, timeout=100).process_directory(
        tmp_path, functions.wait_if_told, fold, [])[0] == "quick"


@pytest.mark.parametrize("function", [
    functions.identity, functools.partial(functions.first_of, "unused"), functions.Caller(),
    str.upper, lambda text: text])
def test_whatever_can_be_called_is(tmp_path, function):
    (tmp_path / "a.txt").write_text("A")
    assert forkfold.ParallelDataProcessor(1).process_directory(
        tmp_path, function, operator.add, "") == "A"


def test_large_texts_and_results_come_whole(tmp_path):
    text = "größer\n" * (1 << 20)
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(text)
    assert texts_of(tmp_path) == [text] * 3


# ---- Nothing to do -----------------------------------------------------------

@pytest.mark.parametrize("name, words", [("", "there are none"), ("missing", "No such file"),
                                         ("file", "Not a directory")])
def test_directory_without_texts_warns_and_gives_the_initial_value(tmp_path, name, words):
    (tmp_path / "file").touch()
    initial = object()
    processor = forkfold.ParallelDataProcessor(2)
    with pytest.warns(UserWarning, match=words) as caught:
        assert processor.process_directory(tmp_path / name, functions.words_of, operator.add,
                                           initial) is initial
    assert caught[0].filename == __file__
    assert processor.failures == []


@pytest.mark.parametrize("workers, error", [(0, ValueError), (-3, ValueError), (1.5, TypeError),
                                            ("2", TypeError)])
def test_number_of_workers_is_checked(workers, error):
    with pytest.raises(error, match="num_workers must be"):
        forkfold.ParallelDataProcessor(workers)


def test_other_arguments_are_checked(directory):
    with pytest.raises(ValueError, match="timeout"):
        forkfold.ParallelDataProcessor(timeout=0)
    with pytest.raises(TypeError):
        forkfold.ParallelDataProcessor(2, 1)
    with pytest.raises(TypeError, match="process_func"):
        forkfold.ParallelDataProcessor(1).process_directory(directory, None, operator.add, 0)
    with pytest.raises(TypeError, match="aggregator_func"):
        forkfold.ParallelDataProcessor(1).process_directory(directory, len, 3, 0)


# ---- Files that fail ---------------------------------------------------------

def numbers_without(*failed):
    return [number for number in range(40) if number not in failed]


@pytest.mark.parametrize("how, error", [
    ("kill", forkfold.WorkerDied), ("_exit", forkfold.WorkerDied),
    ("segfault", forkfold.WorkerDied), ("overflow", forkfold.WorkerDied),
    ("sys.exit", forkfold.WorkerDied), ("raise", ZeroDivisionError),
    ("stop", StopIteration), ("interrupt", KeyboardInterrupt), ("hang", forkfold.WorkerTimeout),
    ("not unpickled", forkfold.RemoteError), ("memory", MemoryError),
])
def test_file_that_fails_is_listed_and_logged_and_the_others_count(directory, caplog, how, error):
    (directory / "17.txt").write_text(how)
    processor = forkfold.ParallelDataProcessor(2, timeout=0.5 if how == "hang" else None)
    with caplog.at_level(logging.ERROR, "forkfold"):
        result = processor.process_directory(directory, functions.words_or_die, functions.append,
                                             [])
    assert sorted(result) == numbers_without(17)
    (failed,) = processor.failures
    assert failed.path == str(directory / "17.txt") and isinstance(failed.error, error)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert failed.path in caplog.text and str(failed.error) in caplog.text


def test_files_that_fail_are_told_apart_among_many(tmp_path):
    bad = {17: "kill", 600: "raise", 900: "kill", 999: "_exit"}
    for number in range(1000):
        (tmp_path / f"{number}.txt").write_text(bad.get(number, "word " * (number % 7)))
    processor = forkfold.ParallelDataProcessor(2)
    total = processor.process_directory(tmp_path, functions.words_or_die, operator.add, 0)
    assert total == sum(number % 7 for number in range(1000) if number not in bad)
    assert {Path(path).stem for path, _ in processor.failures} == {str(number) for number in bad}


def test_file_that_kills_its_worker_once_counts_once(directory, tmp_path_factory):
    flag = tmp_path_factory.mktemp("flag") / "once"
    processor = forkfold.ParallelDataProcessor(2)
    function = functools.partial(functions.words_after_a_death, str(flag), 17)
    result = processor.process_directory(directory, function, functions.append, [])
    assert sorted(result) == list(range(40)) and processor.failures == []


def test_file_that_cannot_be_opened_fails(directory):
    (directory / "loop.txt").symlink_to(directory / "loop.txt")
    processor = forkfold.ParallelDataProcessor(2)
    assert sorted(processor.process_directory(directory, functions.words_of, functions.append, [])) == \
        list(range(40))
    (failed,) = processor.failures
    assert isinstance(failed.error, OSError)


def test_result_that_cannot_be_pickled_is_a_failure(directory):
    processor = forkfold.ParallelDataProcessor(2)
    assert processor.process_directory(directory, functions.lambda_of, functions.append, []) == []
    assert len(processor.failures) == 40


def test_failures_are_those_of_the_last_call(directory):
    (directory / "17.txt").write_text("raise")
    processor = forkfold.ParallelDataProcessor(2)
    for _ in range(2):
        processor.process_directory(directory, functions.words_or_die, operator.add, 0)
        assert len(processor.failures) == 1
    (directory / "17.txt").unlink()
    processor.process_directory(directory, functions.words_or_die, operator.add, 0)
    assert processor.failures == []


def test_exception_of_the_aggregator_reaches_the_caller(directory, lost_children):
    def fold(total, number):
        raise KeyError(number)

    with pytest.raises(KeyError):
        forkfold.ParallelDataProcessor(2).process_directory(directory, functions.words_of, fold, 0)


def test_ctrl_c_ends_it_and_its_workers(tmp_path):
    (tmp_path / "a.txt").write_text("hang")
    program = textwrap.dedent("""
        import os, signal, sys
        import forkfold
        def hang(text):
            os.write(1, b"hanging\\n")
            signal.pause()
        try:
            forkfold.ParallelDataProcessor(2).process_directory(sys.argv[1], hang, None.__eq__, 0)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """)
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], start_new_session=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "hanging\n"
        os.killpg(process.pid, signal.SIGINT)
        # Its output ends when no worker has it any more.
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "interrupted\n", "")


def test_supervisor_that_dies_is_not_taken_for_files(directory):
    processor = forkfold.ParallelDataProcessor(2)
    with pytest.raises(forkfold.PoolError):
        processor.process_directory(directory, functions.kill_supervisor, operator.add, 0)


# ---- What it takes -----------------------------------------------------------

def open_files():
    return len(os.listdir("/proc/self/fd"))


def peak_of(directory, count, processor):
    """Of Python's own memory, and of descriptors, while so many files are processed."""
    for number in range(count):
        (directory / f"{number}.txt").write_text("some words")
    most = [0]

    def fold(total, words):
        most[0] = max(most[0], open_files())
        return total + words

    tracemalloc.start()
    try:
        assert processor.process_directory(directory, functions.words_of, fold, 0) == 2 * count
        return tracemalloc.get_traced_memory()[1], most[0]
    finally:
        tracemalloc.stop()


def test_memory_and_descriptors_do_not_grow_with_the_files(tmp_path, lost_children):
    processor = forkfold.ParallelDataProcessor(2)
    (tmp_path / "few").mkdir()
    (tmp_path / "many").mkdir()
    peak_of(tmp_path / "few", 300, processor)
    before = open_files()
    few, many = (peak_of(tmp_path / name, count, processor)
                 for name, count in (("few", 300), ("many", 6000)))
    assert many[0] < few[0] + 65536
    assert many[1] <= few[1]
    assert open_files() == before


def test_more_files_than_a_process_may_open(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    for number in range(300):
        (tmp_path / f"{number}.txt").write_text("word")
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
    try:
        processor = forkfold.ParallelDataProcessor(2)
        assert processor.process_directory(tmp_path, functions.words_of, operator.add, 0) == 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
