# SPDX-License-Identifier: Apache-2.0
"""Inputs that end the worker which reads them: each is listed, with the reason, and nothing else
is touched."""

import os
import re
import resource
import signal

import pytest

import harness
import reference

GOOD = 1000 if harness.UNDER_ASAN else 10000
POISONED = 7
TIMEOUT = "2s" if harness.UNDER_ASAN else "0.5s"

FRAME = re.compile(r"^#\d+ \S.*$")
LOCATED = re.compile(r"^#\d+ ([\w.]+) at ([\w.]+):(\d+)$")

# By the way of dying: what its line of the failure list must hold.
ENDS = {
    "segv": {"reason": "signal", "signal": signal.SIGSEGV, "address": "0x10"},
    "null": {"reason": "signal", "signal": signal.SIGSEGV, "address": "0x0"},
    "abort": {"reason": "signal", "signal": signal.SIGABRT, "address": None},
    "overflow": {"reason": "signal", "signal": signal.SIGSEGV},
    "exit": {"reason": "exit", "exit_code": 3, "signal": None},
    "kill": {"reason": "signal", "signal": signal.SIGKILL, "address": None, "backtrace": None},
    "hang": {"reason": "timeout"},
    "scribble": {"reason": "signal", "signal": signal.SIGSEGV},
    "smear": {"reason": "signal", "signal": signal.SIGKILL},
}

# Of these the worker itself says where it happened.
WITH_BACKTRACE = ("segv", "null", "abort", "overflow", "scribble")


class Crowd:
    """Many small files and among them a few that FORKFOLD_FAULT can be pointed at."""

    def __init__(self, folder):
        self.folder = folder
        self.words = reference.Counter()
        self.poison = set()
        for number in range(GOOD):
            text = f"word{'abcdefghij'[number % 10]} shared {number} Tail"
            (folder / f"{number}.txt").write_text(text, encoding="utf-8")
            self.words.update(reference.count_text(text.encode()))
        for number in range(POISONED):
            path = folder / f"{number * GOOD // POISONED}-poison.txt"
            path.write_text("poison never counted", encoding="utf-8")
            self.poison.add(os.fsencode(path))

    def check(self, outcome, attempts=3):
        """Exactly the poison files failed, and all the others count."""
        assert outcome.code == 1, outcome._replace(output=b"")
        assert outcome.failed_paths() == self.poison
        assert len(outcome.failures) == POISONED
        assert outcome.output == reference.listing(self.words), "wrong counts"
        assert {failure["attempts"] for failure in outcome.failures} == {attempts}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    return Crowd(tmp_path_factory.mktemp("crowd"))


def functions(failure):
    """The frames that are known by function, file and line."""
    frames = [LOCATED.match(line) for line in failure["backtrace"]]
    return [(frame[1].split(".")[0], frame[2]) for frame in frames if frame]


def where_it_overflowed(failure):
    """The innermost function; what the sanitizer calls in each function needs stack, too."""
    frames = functions(failure)
    while harness.UNDER_ASAN and frames[0][1] != "fault.c":
        frames = frames[1:]
    return frames[0]


def poison(action, point="begin"):
    return harness.fault(action, point, "*poison.txt")


@pytest.mark.parametrize("action", ENDS)
def test_poison_files_are_listed_and_all_others_count(crowd, action):
    options = ["-j", "4", "--timeout", TIMEOUT] if action == "hang" else ["-j", "4"]
    outcome = harness.run([*options, crowd.folder], environment=poison(action))
    crowd.check(outcome)
    for failure in outcome.failures:
        for field, value in ENDS[action].items():
            assert failure[field] == value, failure


@pytest.mark.parametrize("action", WITH_BACKTRACE)
def test_backtrace_names_functions_with_file_and_line(crowd, action):
    outcome = harness.run(["-j", "2", crowd.folder], environment=poison(action))
    for failure in outcome.failures:
        assert failure["backtrace"], failure
        assert all(FRAME.match(line) for line in failure["backtrace"]), failure
        if action == "overflow":
            assert where_it_overflowed(failure) == ("overflow_stack", "fault.c"), failure
        else:
            assert any(file == "fault.c" for _, file in functions(failure)), failure
            assert ("words_run", "words_job.c") in functions(failure), failure


@pytest.mark.parametrize("action", ("scribble", "overflow"))
def test_wild_write_is_reported_with_its_address(crowd, action):
    outcome = harness.run(["-j", "3", crowd.folder], environment=poison(action))
    crowd.check(outcome)
    assert all(int(failure["address"], 16) > 4096 for failure in outcome.failures)


@pytest.mark.parametrize("workers", (1, 2, 5))
@pytest.mark.parametrize("point", ("begin", "middle", "end"))
def test_damaged_partial_of_a_dead_worker_is_run_again(crowd, workers, point):
    options = ["-j", workers, "--max-deaths", "100"]
    crowd.check(harness.run([*options, crowd.folder], environment=poison("smear", point)))


@pytest.mark.parametrize("retries", (0, 1, 4))
def test_poison_file_is_tried_once_and_as_often_again_as_told(crowd, retries):
    # Three workers at three poison files at once can die often before one of these is given up.
    outcome = harness.run(["-j", "3", "--retries", retries, "--max-deaths", "100", crowd.folder],
                          environment=poison("segv", "end"))
    crowd.check(outcome, retries + 1)


@pytest.mark.skipif(harness.UNDER_ASAN, reason="the sanitizer itself needs terabytes")
@pytest.mark.parametrize("limit, megabytes",
                         ((resource.RLIMIT_DATA, 64), (resource.RLIMIT_AS, 256)),
                         ids=("data", "address space"))
def test_file_that_eats_all_memory_fails_alone(crowd, limit, megabytes):
    outcome = harness.run(["-j", "2", "--retries", "0", crowd.folder], environment=poison("leak"),
                          limits=[(limit, megabytes << 20)])
    crowd.check(outcome, 1)


@pytest.mark.parametrize("action", ("kill", "segv", "exit"))
@pytest.mark.parametrize("point", ("begin", "middle", "end"))
def test_split_file_with_a_deadly_piece_fails_as_a_whole_and_is_listed_once(inputs, action, point):
    poisoned = os.fsencode(inputs.split / "poison.txt")
    for split in ("1K", "7K"):
        outcome = harness.run(["-j", "3", "--split", split, inputs.split],
                              environment=poison(action, point))
        failed = outcome.failed_paths()
        assert outcome.code == 1 and len(failed) == len(outcome.failures)
        assert failed == {poisoned, os.fsencode(inputs.split / "bad.txt")}
        assert outcome.output == inputs.listing_without(inputs.split, frozenset(failed))


@pytest.mark.parametrize("action", ("segv", "exit", "kill"))
def test_poison_file_ends_a_run_that_stops_at_failures(crowd, action):
    outcome = harness.run(["-j", "3", "--on-error", "stop", crowd.folder],
                          environment=poison(action), to_file=True)
    assert outcome.code == 3
    assert outcome.output is None
    assert b"forkfold: an input failed" in outcome.stderr


def deaths_in_a_row(outcome):
    return int(re.search(rb"(\d+) workers in a row died", outcome.stderr)[1])


@pytest.mark.parametrize("action", ("kill", "exit", "segv"))
def test_workers_that_die_of_everything_end_the_run_as_a_crash_loop(inputs, action):
    outcome = harness.run(["-j", "3", "--retries", "1000", inputs.small], to_file=True,
                          environment=harness.fault(action, "begin", "*"))
    assert outcome.code == 3
    assert outcome.output is None
    assert deaths_in_a_row(outcome) > 10


def test_crash_loop_may_be_as_long_as_was_asked_for(inputs):
    lengths = []
    for allowed in (1, 25, 50):
        outcome = harness.run(
            ["-j", "3", "--retries", "1000", "--max-deaths", allowed, inputs.small],
            environment=harness.fault("kill", "begin", "*"))
        assert outcome.code == 3
        lengths.append(deaths_in_a_row(outcome))
        assert lengths[-1] > allowed
    assert lengths == sorted(set(lengths))


def test_every_file_can_be_poison(inputs):
    outcome = harness.run(["-j", "3", inputs.small],
                          environment=harness.fault("kill", "begin", "*"))
    assert outcome.code == 1
    assert outcome.output is None
    assert outcome.failed_paths() == set(inputs.count(inputs.small))


@pytest.mark.parametrize("action", ("kill", "segv", "exit", "abort"))
def test_standard_input_is_never_read_twice(inputs, tmp_path, action):
    stdin = tmp_path / "stdin"
    stdin.write_bytes(b"never counted " * 1000)
    outcome = harness.run(["-j", "3", "--retries", "5", inputs.split, "-"], stdin=stdin,
                          environment=harness.fault(action, "end", "-"))
    failed = {os.fsencode(failure["path"]): failure for failure in outcome.failures}
    assert outcome.code == 1
    assert set(failed) == {b"-", os.fsencode(inputs.split / "bad.txt")}
    assert failed[b"-"]["attempts"] == 1
    assert outcome.output == inputs.listing_without(inputs.split, frozenset(set(failed) - {b"-"}))
