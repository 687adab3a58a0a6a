# SPDX-License-Identifier: Apache-2.0
"""count_words: the counts of plain Python, whatever they are asked as, and what fails."""

import collections
import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forkfold
from forkfold import _native


def letters(text):
    words = ("".join(c.lower() for c in token if c.isalpha()) for token in text.split())
    return collections.Counter(word for word in words if word)


def plain(text):
    return collections.Counter(text.split())


RULES = {"letters": letters, "plain": plain}

# Letters and spaces of every length in UTF-8; what is unassigned in some version is left out.
texts = st.text(st.sampled_from("aAbzÄßİſ中あ🙂é9_ \t\n\x1c\u00a0\u2003"), max_size=300)


@pytest.fixture(scope="module")
def shared_pool():
    with forkfold.Pool(2) as opened:
        yield opened


@settings(max_examples=80, deadline=None)
@given(text=texts, rule=st.sampled_from(sorted(RULES)))
def test_counts_are_those_of_plain_python(shared_pool, text, rule):
    counts = forkfold.count_words(text=text, rule=rule, pool=shared_pool)
    expected = RULES[rule](text)
    assert counts == expected
    assert counts.total == sum(expected.values())
    assert list(counts.items()) == sorted(expected.items(),
                                          key=lambda pair: (-pair[1], pair[0].encode()))
    for word in expected:
        assert counts[word] == expected[word]


def test_result_is_a_mapping():
    counts = forkfold.count_words(text="b a b c")
    assert isinstance(counts, collections.abc.Mapping)
    assert list(counts) == ["b", "a", "c"] and len(counts) == 3
    assert list(counts.values()) == [2, 1, 1] and ("b", 2) in counts.items()
    assert counts.get("d", 0) == 0 and "a" in counts and 7 not in counts and "\ud800" not in counts
    assert counts.most_common(1) == [("b", 2)] and counts.most_common(-1) == []
    assert counts.most_common() == [("b", 2), ("a", 1), ("c", 1)]
    assert type(counts.to_dict()) is dict and counts.to_dict() == counts
    assert repr(counts) == "<WordCounts of 4 words, 3 distinct: {'b': 2, 'a': 1, 'c': 1}>"
    with pytest.raises(KeyError, match="nothing"):
        counts["nothing"]  # pylint: disable=pointless-statement


def test_empty_text_has_no_words():
    for text in ("", b"", " \n", memoryview(b"")):
        counts = forkfold.count_words(text=text)
        assert len(counts) == 0 and counts.to_dict() == {} and counts.most_common(3) == []


def test_many_words_are_iterated_over_and_found():
    words = [f"w{'abcdefghij'[i % 10]}{'x' * (i % 97)}{'y' * (i % 89)}" for i in range(60000)]
    counts = forkfold.count_words(text=" ".join(words))
    assert counts == collections.Counter(words)
    assert dict(counts.items()) == collections.Counter(words)


# ---- Paths -------------------------------------------------------------------

@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text("one two")
    (tmp_path / "b.md").write_text("three")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "c.txt").write_text("two four")
    return tmp_path


def test_words_are_read_from_the_result_as_far_as_they_are_asked_for():
    text = " ".join("".join(chr(97 + int(digit)) for digit in str(number))
                    for number in range(5000) for _ in range(1 + number % 7))
    expected = sorted(letters(text).items(), key=lambda pair: (-pair[1], pair[0]))
    first, second, third = (forkfold.count_words(text=text, processes=2) for _ in range(3))
    assert first.most_common(3) == expected[:3] and first.most_common(5) == expected[:5]
    assert first.most_common(2) == expected[:2] and len(first) == len(expected)
    assert first[expected[-1][0]] == expected[-1][1] and first.most_common() == expected
    assert second.most_common(1) == expected[:1] and second.to_dict() == dict(expected)
    assert third.most_common(1) == expected[:1]
    assert list(memoryview(third._native.numbers).cast("q")) == [count for _, count in expected]


def test_result_that_was_spilled_is_whole(tmp_path, monkeypatch):
    """What lies on disk is gone with its pool, and is read before."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    words = [f"{number:06}" for number in range(60_000)]
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(" ".join(words))
    counts = forkfold.count_words(tmp_path, rule="plain", processes=2, memory=1 << 20)
    assert counts.most_common(2) == [(words[0], 2), (words[1], 2)]
    assert dict(counts.items()) == dict.fromkeys(words, 2)


def test_paths_are_what_the_command_takes(folder):
    assert forkfold.count_words(folder) == {"one": 1, "two": 1}
    assert forkfold.count_words(str(folder), recursive=True) == {"one": 1, "two": 2, "four": 1}
    assert forkfold.count_words(folder, pattern="*.md") == {"three": 1}
    assert forkfold.count_words([folder / "b.md", folder]) == {"one": 1, "two": 1, "three": 1}
    assert forkfold.count_words(folder / "b.md").files == 1


def test_minus_is_a_file_of_that_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(FileNotFoundError):
        forkfold.count_words("-")
    (folder / "-").write_text("dash")
    assert forkfold.count_words("-") == {"dash": 1}


@pytest.mark.parametrize("text", ["the quick brown fox", "word " * 5000, "a\0b", ""])
def test_a_text_is_never_taken_for_a_path(text):
    with pytest.raises(FileNotFoundError, match="text=") as caught:
        forkfold.count_words(text)
    assert len(str(caught.value)) < 400


def test_arguments_that_make_no_sense_are_refused(folder, pool):
    with pytest.raises(TypeError, match="os.fsdecode"):
        forkfold.count_words(b"bytes")
    with pytest.raises(TypeError, match="either"):
        forkfold.count_words()
    with pytest.raises(TypeError, match="either"):
        forkfold.count_words(folder, text="a")
    with pytest.raises(ValueError, match="no paths"):
        forkfold.count_words([])
    with pytest.raises(ValueError, match="'letters', 'plain'"):
        forkfold.count_words(folder, rule="tokens")
    with pytest.raises(ValueError, match="'fail', 'replace'"):
        forkfold.count_words(folder, invalid="ignore")
    with pytest.raises(ValueError, match="errors"):
        forkfold.count_words(folder, errors="ignore")
    with pytest.raises(ValueError, match="at least 1"):
        forkfold.count_words(folder, processes=0)
    with pytest.raises(TypeError, match="processes must be an integer"):
        forkfold.count_words(folder, processes="2")
    for memory in (-5, 0, "1G", 1.5, 2**64):
        with pytest.raises(ValueError, match="memory must be a positive number of bytes"):
            forkfold.count_words(folder, memory=memory)
    with pytest.raises(TypeError, match="timeout must be a number of seconds, not '2s'"):
        forkfold.count_words(folder, timeout="2s")
    with pytest.raises(TypeError, match="pool must be a forkfold.Pool, not 2"):
        forkfold.count_words(folder, pool=2)
    with pytest.raises(ValueError, match="of a pool"):
        forkfold.count_words(folder, processes=1, pool=pool)
    with pytest.raises(UnicodeEncodeError):
        forkfold.count_words(text="\ud800")
    with pytest.raises(ValueError, match="one piece"):
        forkfold.count_words(text=memoryview(b"abcd")[::2])


# ---- What fails --------------------------------------------------------------

def test_failed_inputs_are_told_and_everything_else_counts(folder):
    (folder / "bad.txt").write_bytes(b"fine \xff")
    with pytest.raises(forkfold.InputsFailed, match="bad.txt") as caught:
        forkfold.count_words(folder)
    assert caught.value.counts == {"one": 1, "two": 1}
    counts = forkfold.count_words(folder, errors="collect")
    assert counts == {"one": 1, "two": 1}
    [failure] = counts.failures
    assert failure.path == str(folder / "bad.txt")
    assert (failure.reason, failure.byte_offset, failure.attempts) == ("decode", 5, 1)
    assert failure.signal is None and failure.backtrace is None
    counts = forkfold.count_words(folder, invalid="replace", rule="plain")
    assert counts["\ufffd"] == 1 and not counts.failures


def test_text_that_is_not_utf8_fails_like_a_file():
    [failure] = forkfold.count_words(text=b"a \xff", errors="collect").failures
    assert (failure.path, failure.reason) == ("text", "decode")


def test_deadline_ends_the_count(tmp_path):
    with open(tmp_path / "large.txt", "wb") as file:
        file.truncate(1 << 38)
    with pytest.raises(forkfold.DeadlineExceeded):
        forkfold.count_words(tmp_path, deadline=0.05)


ENDLESS = """
import forkfold, os, signal, sys, threading, time
with open("endless.txt", "wb") as file:
    file.truncate(1 << 38)
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
pool = forkfold.Pool(2) if sys.argv[1] == "pool" else None
try:
    forkfold.count_words(".", pool=pool)
except KeyboardInterrupt:
    print("interrupted")
if pool is not None:
    print(pool.map(abs, [-1]), forkfold.count_words(text="a", pool=pool).to_dict())
"""


@pytest.mark.parametrize("where", ["alone", "pool"])
def test_interrupt_ends_the_count(where, tmp_path):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", ENDLESS, where],
                          capture_output=True, text=True, check=False, timeout=100, cwd=tmp_path)
    expected = "interrupted\n" + ("[1] {'a': 1}\n" if where == "pool" else "")
    assert (done.stdout, done.stderr) == (expected, "")


# ---- On a pool ---------------------------------------------------------------

def test_pool_is_free_again_while_a_result_is_kept(pool, folder):
    first = forkfold.count_words(folder, pool=pool)
    second = forkfold.count_words(text="x", pool=pool)
    assert pool.map(abs, [-1]) == [1]
    assert first == {"one": 1, "two": 1} and second == {"x": 1}


def test_pool_with_calls_in_progress_is_busy(pool):
    result = pool.map_async(abs, range(10))
    with pytest.raises(forkfold.PoolError, match="in progress"):
        forkfold.count_words(text="a", pool=pool)
    assert result.get() == list(range(10))


class Counting:
    """Counts a text that has no end in another thread, until the pool is closed."""

    def __init__(self, pool, tmp_path):
        with open(tmp_path / "endless.txt", "wb") as file:
            file.truncate(1 << 38)
        self.error = None
        self.thread = threading.Thread(target=self.count, args=(pool, tmp_path))
        self.thread.start()

    def count(self, pool, path):
        try:
            forkfold.count_words(path, pool=pool)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


def test_calls_of_other_threads_wait(pool, tmp_path):
    (tmp_path / "a.txt").write_text("a b " * 10**6)
    for _ in range(5):
        thread = threading.Thread(target=forkfold.count_words, args=(tmp_path,),
                                  kwargs={"pool": pool})
        thread.start()
        shared = forkfold.Queue(pool=pool)
        shared.put(1)
        assert shared.get() == 1
        thread.join()
        assert list(forkfold.Pipeline(abs).run([-1], pool=pool)) == [1]


def test_closing_the_pool_ends_the_count_of_another_thread(tmp_path):
    pool = forkfold.Pool(2)
    counting = Counting(pool, tmp_path)
    pool.terminate()
    counting.thread.join()
    assert isinstance(counting.error, ValueError)


def test_pool_that_was_closed_is_refused():
    pool = forkfold.Pool(1)
    pool.terminate()
    with pytest.raises(ValueError, match="not running"):
        forkfold.count_words(text="a", pool=pool)


def test_no_process_is_left(lost_children, folder):
    for _ in range(5):
        forkfold.count_words(folder)
        forkfold.count_words(text="a " * 100000, processes=2)


# ---- Other forms -------------------------------------------------------------

def test_arrow_capsules_hold_the_result():
    counts = forkfold.count_words(text="a b a")
    schema, array = counts.__arrow_c_array__()
    name = ctypes.pythonapi.PyCapsule_IsValid
    name.argtypes = [ctypes.py_object, ctypes.c_char_p]
    assert name(schema, b"arrow_schema") and name(array, b"arrow_array")


def test_to_arrow_gives_a_table_that_outlives_the_counts():
    pyarrow = pytest.importorskip("pyarrow")
    table = forkfold.count_words(text="b a ä b").to_arrow()
    table.validate(full=True)
    assert table.to_pydict() == {"word": ["b", "a", "ä"], "count": [2, 1, 1]}
    assert table.schema.field("count").type == pyarrow.int64()
    assert forkfold.count_words(text="").to_arrow().num_rows == 0
    word = table.column("word")
    del table
    assert word.to_pylist() == ["b", "a", "ä"]


def test_to_pandas_gives_a_frame():
    pytest.importorskip("pandas")
    frame = forkfold.count_words(text="b a b").to_pandas()
    assert frame["word"].tolist() == ["b", "a"] and frame["count"].tolist() == [2, 1]
    assert frame["count"].dtype == "int64"


def test_counts_are_not_pickled_by_accident():
    with pytest.raises(TypeError):
        pickle.dumps(forkfold.count_words(text="a"))


def test_signal_handlers_run_while_it_counts(tmp_path):
    with open(tmp_path / "large.txt", "wb") as file:
        file.truncate(1 << 38)
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(True))
    try:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        with pytest.raises(forkfold.DeadlineExceeded):
            forkfold.count_words(tmp_path, deadline=1)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [True]


# ---- Texts as UTF-8 ----------------------------------------------------------------------------

def encode_to_array(pool, text):
    native = pool._engine.native
    array = native.encode(text, "replace")
    native.spare(array)
    return bytes(memoryview(array))


@given(st.text(), st.sampled_from(["", "a" * 40, "\xe9" * 20, "\u20ac and so on, ", "\U0001f600"]))
def test_a_text_is_encoded_as_python_does(shared_pool, text, more):
    for whole in (text, text + more, more + text, more * 3 + text + more):
        expected = whole.encode(errors="replace")
        assert _native.encode(whole, "replace") == expected
        assert encode_to_array(shared_pool, whole) == expected


@pytest.mark.parametrize("last", (0x7f, 0x80, 0xff, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000,
                                  0x10ffff))
def test_characters_at_the_edges_are_encoded_wherever_they_are(shared_pool, last):
    for before in range(40):
        text = "x" * before + chr(last) + "y" * (40 - before)
        assert _native.encode(text, "strict") == text.encode()
        assert encode_to_array(shared_pool, text) == text.encode()


# What the begin of a text says of its length is wrong of these.
@pytest.mark.parametrize("end", ["\x7f", "\xff", "\u07ff", "\uffff", "\U0010ffff", "\ud800"])
@pytest.mark.parametrize("length", [0, 1, 1000, 17_000, 100_000])
def test_a_text_that_changes_is_encoded_to_its_end(shared_pool, end, length):
    for begin in ("", "x" * 20_000, "\U0010ffff" * 20_000):
        text = begin + end * length
        assert encode_to_array(shared_pool, text) == text.encode(errors="replace")
        assert _native.encode(text, "replace") == text.encode(errors="replace")


def test_array_of_a_text_belongs_to_its_pool(shared_pool):
    with forkfold.Pool(1) as other:
        array = other._engine.native.encode("text", "strict")
        for wrong in (array, b"text", None):
            with pytest.raises(TypeError, match="no array of the pool"):
                shared_pool._engine.native.spare(wrong)
    assert bytes(memoryview(array)) == b"text"


def test_surrogates_are_what_the_caller_says(shared_pool):
    assert _native.encode("a\ud800b\udfffc", "replace") == b"a?b?c"
    assert encode_to_array(shared_pool, "a\ud800b\udfffc") == b"a?b?c"
    with pytest.raises(UnicodeEncodeError):
        shared_pool._engine.native.encode("a\ud800", "strict")
    with pytest.raises(UnicodeEncodeError):
        _native.encode("a\ud800", "strict")
