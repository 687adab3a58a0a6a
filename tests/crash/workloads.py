# SPDX-License-Identifier: Apache-2.0
"""What the tests of crashes count, and which outcomes of a disturbed run are right."""

import functools
import os
from collections import Counter

import generate
import harness
import reference

POISON = b"poison"


class Inputs:
    """Files made once, and their words as the reference counts them."""

    def __init__(self, place):
        self.place = place
        self.small = self._folder("small", self._write_small)
        self.split = self._folder("split", self._write_split)
        self.many = self._folder("many", self._write_many)
        self.kept = self._folder("kept", self._write_kept)

    def _folder(self, name, write):
        folder = self.place / name
        folder.mkdir()
        write(folder)
        return folder

    @staticmethod
    def _write_small(folder):
        """Several tasks of several files; some not UTF-8, one that a workload makes deadly."""
        for number in range(300):
            (folder / f"{number}.txt").write_bytes(generate.text(number, 120))
        for number in (20, 150, 290):
            (folder / f"{number}.txt").write_bytes(generate.broken(number, 200))
        (folder / "100-poison.txt").write_bytes(generate.text("poison", 200))

    @staticmethod
    def _write_split(folder):
        """Files that are split: good ones, and one that is ill-formed in its middle."""
        (folder / "good.txt").write_bytes(generate.text("good", 40000))
        (folder / "poison.txt").write_bytes(generate.text("deadly", 20000))
        bad = generate.text("bad", 10000)
        (folder / "bad.txt").write_bytes(bad + b"\xff " + bad)
        (folder / "short.txt").write_bytes(generate.text("short", 500))

    @staticmethod
    def _write_many(folder):
        """More different words than the least memory holds, long and short ones; one file that is
        split is ill-formed near its end."""
        for number in range(4):
            (folder / f"{number}.txt").write_bytes(different_words(number, 10000))
        bad = different_words("bad", 4000, 100000)
        (folder / "bad.txt").write_bytes(bad[:-100] + b" \xff " + bad[-100:])

    @staticmethod
    def _write_kept(folder):
        """More small tasks than are posted as they are found, and big files, so that tasks come in
        another order than their items."""
        for number in range(3000):
            (folder / f"{number}.txt").write_bytes(b"a b%d\n" % (number % 40))
        for number in range(3):
            (folder / f"{number} big.txt").write_bytes(generate.text(number, 1000) * 300)

    @functools.lru_cache
    def count(self, folder):
        """The words of each file by its path, or the failure in their place."""
        files, _ = reference.list_files(folder)
        return {path: reference.count_file(path) for path in files}

    @functools.lru_cache(maxsize=256)
    def listing_without(self, folder, failed):
        """The result when exactly the files in failed, a frozenset of paths, do not count."""
        words = Counter()
        for path, counted in self.count(folder).items():
            if path not in failed:
                assert isinstance(counted, Counter), f"{path} cannot be counted, and was"
                words.update(counted)
        return reference.listing(words)


def different_words(seed, count, first=0):
    """So many words that are all different; every other text has half of them too."""
    source = generate.Source("different words", seed)
    start = source.below(count // 2) + first
    words = []
    for number in range(start, start + count):
        letters = "".join(chr(97 + int(digit)) for digit in str(number * 7919 % 1000003))
        words.append(letters + source.pick(("", "", "", "x" * 20, "Y" * 80)))
    return "\n".join(words).encode()


class Workload:
    """A command line, its undisturbed outcome, and verdicts on disturbed ones."""

    def __init__(self, inputs, folder, *options, environment=None):
        self.inputs = inputs
        self.folder = folder
        self.arguments = ["-j", "3", *options, "--", folder]
        self.environment = environment or {}
        self.undisturbed = self.run()
        self._passes = {}
        if "stop" in options:
            assert self.undisturbed.code == 3, self.undisturbed
        else:
            self.check_against_reference(self.undisturbed)

    def run(self, environment=None, **options):
        return harness.run(self.arguments, environment={**self.environment, **(environment or {})},
                           **options)

    def start(self, environment=None, **options):
        return harness.Run(self.arguments, environment={**self.environment, **(environment or {})},
                           **options)

    def passes(self, point):
        """About how often the processes of an undisturbed run pass a kill point."""
        if point not in self._passes:
            few, many = 0, 1
            while self._reaches(point, many):
                few, many = many, many * 2
            while many - few > 1:
                middle = (few + many) // 2
                few, many = (middle, many) if self._reaches(point, middle) else (few, middle)
            self._passes[point] = few
        return self._passes[point]

    def _reaches(self, point, number):
        return bool(self.run(harness.kill_at(point, "none", number)).witness)

    # ---- Verdicts

    def check_against_reference(self, outcome):
        """A result must be that of all files but the listed ones."""
        failed = outcome.failed_paths()
        assert outcome.code == (1 if failed else 0), outcome
        if os.fsencode(self.folder) + b"/" in failed:
            failed |= set(self.inputs.count(self.folder))
        expected = self.inputs.listing_without(self.folder, frozenset(failed))
        assert (outcome.output or b"") == expected, f"wrong counts; failed: {failed}"

    def check_same(self, outcome):
        expected = self.undisturbed
        assert outcome.code == expected.code, outcome
        assert outcome.output == expected.output, f"other counts: {outcome}"
        assert summary(outcome.failures) == summary(expected.failures), outcome

    def check_no_result(self, outcome):
        assert outcome.output is None, outcome
        assert b"forkfold: " in outcome.stderr, outcome

    def check_lost_supervisor(self, outcome):
        """Too late to matter, or no result and a word about it."""
        if outcome.code == self.undisturbed.code and outcome.output == self.undisturbed.output:
            self.check_same(outcome)
            return
        assert outcome.code == 3, outcome
        assert b"supervisor" in outcome.stderr, outcome
        self.check_no_result(outcome)

    def check_dead_driver(self, outcome, number):
        """Nothing at all, or, if it died later, the whole."""
        assert outcome.code == -number, outcome
        assert outcome.output in (None, self.undisturbed.output), outcome
        assert outcome.failures in (None, self.undisturbed.failures), outcome


def summary(failures):
    """The failure list, but for how exactly workers died: a poison file's worker may have been
    ended by the test instead."""
    if failures is None:
        return None
    lines = []
    for failure in failures:
        if POISON in os.fsencode(failure["path"]):
            lines.append((failure["path"], failure["attempts"]))
        else:
            lines.append(tuple(sorted(failure.items())))
    return lines


def all_of(inputs):
    timeout = "1s" if harness.UNDER_ASAN else "0.3s"
    poison = "*poison.txt"
    return {
        "small": Workload(inputs, inputs.small),
        "split": Workload(inputs, inputs.split, "--split", "1K"),
        "poison": Workload(inputs, inputs.small,
                           environment=harness.fault("kill", "begin", poison)),
        "split poison": Workload(inputs, inputs.split, "--split", "1K",
                                 environment=harness.fault("kill", "end", poison)),
        "kept": Workload(inputs, inputs.kept),
        "stop": Workload(inputs, inputs.small, "--on-error", "stop"),
        "spill": Workload(inputs, inputs.many, "--memory", "1M", "--split", "16K"),
        "timeout": Workload(inputs, inputs.small, "--timeout", timeout, "--retries", "0",
                            environment=harness.fault("hang", "begin", poison)),
    }
