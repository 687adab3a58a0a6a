# SPDX-License-Identifier: Apache-2.0
"""Folders whose counts were worked out once, by another program.

FORKFOLD_TEST_CORPUS names a folder of folders with their results in expected.json.
FORKFOLD_TEST_ORACLE names one with make_hostile.py, which writes folders of inputs that are hard
to count, and their results in hostile_expected.json.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import running

CORPUS = os.environ.get("FORKFOLD_TEST_CORPUS")
ORACLE = os.environ.get("FORKFOLD_TEST_ORACLE")
RULES = ("letters", "plain")

# What the command agrees about with a Python of any Unicode version.
SAME_IN_ALL_VERSIONS = {"basic", "boundary", "invalid", "many", "names", "scale", "seps", "tree"}


def read_expected(folder, name):
    if folder is None:
        return {"folders": {}}
    with open(Path(folder) / name, encoding="utf-8") as file:
        return json.load(file)


CORPUS_EXPECTED = read_expected(CORPUS, "expected.json")
HOSTILE_EXPECTED = read_expected(ORACLE, "hostile_expected.json")

# The number of bytes in the results is that of all files, failed ones too.
GOOD_FOLDERS = [name for name, entry in CORPUS_EXPECTED["folders"].items()
                if not entry["flat"]["plain"]["failed"]]  # fmt: skip

needs_corpus = pytest.mark.skipif(CORPUS is None, reason="FORKFOLD_TEST_CORPUS is not set")
needs_oracle = pytest.mark.skipif(ORACLE is None, reason="FORKFOLD_TEST_ORACLE is not set")


def shown_name(path):
    """A path as the results show it: what is no printable UTF-8 as \\xNN, and so a backslash."""
    shown = []
    for character in path.decode("utf-8", "surrogateescape"):
        code = ord(character)
        if code < 0x20 or 0x7F <= code < 0xA0 or code in (0x5C, 0x2028, 0x2029) \
                or 0xDC80 <= code <= 0xDCFF:  # fmt: skip
            encoded = character.encode("utf-8", "surrogateescape")
            character = "".join(f"\\x{byte:02x}" for byte in encoded)
        shown.append(character)
    return "".join(shown)


def read_failures(path, folder):
    """The pairs of name in the folder and reason in a list of failures."""
    pairs = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            failure = json.loads(line)
            name = bytes.fromhex(failure["path_bytes"] or "") or os.fsencode(failure["path"])
            name = name.removeprefix(os.fsencode(folder) + b"/")
            pairs.append([shown_name(name), failure["system_error"] or failure["detail"]])
    os.unlink(path)
    return pairs


def check(forkfold, folder, expected, *options, binary=running.BINARY):
    """That a run over the folder gives exactly the expected listing, totals and failures."""
    run = forkfold.words(*options, "--failures", "failed.ndjson", "--", folder, binary=binary,
                         creates=["failed.ndjson"])  # fmt: skip
    failed = read_failures("failed.ndjson", folder)
    assert failed == expected["failed"]
    summary = run.summary()
    assert summary.files + summary.failed == expected["files"]
    assert summary.failed == len(expected["failed"])
    assert summary.words == expected["total_words"]
    assert summary.distinct == expected["distinct_words"]
    assert len(run.out) == expected["listing_bytes"]
    assert hashlib.sha256(run.out).hexdigest() == expected["listing_sha256"]
    assert run.code == (1 if expected["failed"] else 0)


@needs_corpus
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("folder", sorted(CORPUS_EXPECTED["folders"]))
def test_corpus_folder_gives_the_known_counts(forkfold, folder, rule):
    expected = CORPUS_EXPECTED["folders"][folder]["flat"]
    path = str(Path(CORPUS, folder).resolve())
    check(forkfold, path, expected[rule], "--rule", rule)
    check(forkfold, path, expected[rule], "--rule", rule, "-j", "7", "--split", "3K")
    if running.RELEASE:
        check(forkfold, path, expected[rule], "--rule", rule, binary=running.RELEASE)


@needs_corpus
@pytest.mark.parametrize("folder", sorted(GOOD_FOLDERS))
def test_corpus_folder_gives_the_known_number_of_bytes(forkfold, folder):
    expected = CORPUS_EXPECTED["folders"][folder]["flat"]
    run = forkfold.words("--format", "json", "--top", "1", str(Path(CORPUS, folder).resolve()))
    assert json.loads(run.out)["totals"]["bytes"] == expected["bytes"]


@needs_corpus
@pytest.mark.parametrize("rule", RULES)
def test_whole_corpus_gives_the_known_counts(forkfold, rule):
    if "whole_recursive" not in CORPUS_EXPECTED:
        pytest.skip("there are no results of the whole corpus")
    path = str(Path(CORPUS).resolve())
    check(forkfold, path, CORPUS_EXPECTED["whole_recursive"][rule], "-r", "--rule", rule)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    subprocess.run([sys.executable, Path(ORACLE) / "make_hostile.py", folder], check=True,
                   timeout=running.HANG_SECONDS)  # fmt: skip
    yield folder
    shutil.rmtree(folder)


def unicode_version(forkfold):
    for line in forkfold("--version").out.decode().splitlines():
        if line.startswith("Unicode "):
            return line.removeprefix("Unicode ")
    raise AssertionError("--version does not tell the version of Unicode")


def expected_in_version(folder, way, rule, version):
    """The results as a Python with this version of Unicode has them, or None."""
    expected = HOSTILE_EXPECTED["folders"][folder][way][rule]
    if rule == "plain" or folder in SAME_IN_ALL_VERSIONS:
        return expected
    if version == HOSTILE_EXPECTED["unicodedata"]:
        return expected
    for other in HOSTILE_EXPECTED["other_pythons"].values():
        if other["unicodedata"] == version:
            difference = other["differences"].get(f"{folder}/{way}/{rule}", {})
            # How long the other listing is was not written down: its hash says enough.
            return {**expected, **difference, "listing_bytes": None} if difference else expected
    return None


def ways_of(folder):
    """The searches that have results, by the user's rights, and their options."""
    entry = HOSTILE_EXPECTED["folders"][folder]
    if os.geteuid() != 0:
        entry = {**entry, **entry.get("as_non_root", {})}
    return [(way, entry[way], options) for way, options in (("flat", []), ("recursive", ["-r"]))
            if way in entry]  # fmt: skip


@needs_oracle
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("folder", sorted(HOSTILE_EXPECTED["folders"]))
def test_hostile_folder_gives_the_known_counts(forkfold, hostile, folder, rule):
    version = unicode_version(forkfold)
    for way, entry, options in ways_of(folder):
        expected = expected_in_version(folder, way, rule, version)
        if expected is None:
            pytest.skip(f"there are no results for Unicode {version}")
        if os.geteuid() != 0:
            expected = {**expected, **entry[rule]}
        path = str(hostile / folder)
        if expected["listing_bytes"] is None:
            expected["listing_bytes"] = len(forkfold.words("--rule", rule, *options, path).out)
        check(forkfold, path, expected, "--rule", rule, *options)
        check(forkfold, path, expected, "--rule", rule, *options, "-j", "5", "--split", "64K")


@needs_oracle
@pytest.mark.parametrize("split", ["16", "17", "1000", "4095", "4096", "4097"])
@pytest.mark.parametrize("folder", ["invalid", "seps"])
def test_hostile_folder_in_small_pieces_gives_the_known_counts(forkfold, hostile, folder, split):
    # Files of some megabytes in pieces of 16 bytes would take long; the small ones matter here.
    expected = HOSTILE_EXPECTED["folders"][folder]["flat"]
    names = [name for name in os.listdir(hostile / folder)
             if os.path.getsize(hostile / folder / name) <= 64 * int(split) + 70000]  # fmt: skip
    small = hostile / f"{folder}-{split}"
    small.mkdir()
    for name in names:
        os.link(hostile / folder / name, small / name)
    for rule in RULES:
        whole = forkfold.words("--rule", rule, str(small))
        pieces = forkfold.words("--rule", rule, "--split", split, str(small))
        assert pieces.out == whole.out
        assert pieces.messages() == whole.messages()
        failed = [pair for pair in expected[rule]["failed"] if pair[0] in names]
        assert len(pieces.messages()) == len(failed)
        for line, (name, reason) in zip(pieces.messages(), failed):
            assert line == f"forkfold: {small}/{name}: {reason}".encode()
