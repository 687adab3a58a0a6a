# SPDX-License-Identifier: Apache-2.0
"""--stats: how the work went, in agreement with the result."""

import json
import os

import generate
import pytest
import reference

FIELDS = [
    "wall_s", "cpu_s", "utilisation", "workers", "files", "files_failed", "bytes", "words",
    "distinct", "bytes_per_s", "files_per_s", "communication_share", "claim_s", "seal_s", "wait_s",
    "tasks", "seals", "items", "retries", "deaths", "peak_memory_bytes", "spilled_bytes",
]  # fmt: skip
LABELS = [b"time", b"input", b"words", b"communication", b"work", b"memory"]


def stats_of(run):
    """The object that --stats=json leaves behind all else on standard error."""
    return json.loads(run.err.splitlines()[-1])


def check_consistent(stats):
    """What holds for every run that had something to do."""
    assert list(stats) == FIELDS
    assert stats["wall_s"] > 0 and stats["cpu_s"] > 0
    available = stats["workers"] * stats["wall_s"]
    assert 0 <= stats["utilisation"] <= 1
    assert 0 <= stats["communication_share"] <= 1
    assert 0 <= stats["wait_s"] <= available + 1e-5
    spent = sum(stats[name] for name in ("claim_s", "seal_s", "wait_s"))
    assert stats["communication_share"] == pytest.approx(min(spent / available, 1), abs=0.01)
    assert stats["utilisation"] == pytest.approx(1 - stats["wait_s"] / available, abs=0.01)
    assert stats["bytes_per_s"] == pytest.approx(stats["bytes"] / stats["wall_s"], rel=0.02)
    assert stats["files_per_s"] == pytest.approx(stats["files"] / stats["wall_s"], rel=0.02)
    assert stats["seals"] >= 1 and stats["tasks"] >= 1
    assert stats["items"] >= stats["files"] + stats["files_failed"]
    assert stats["peak_memory_bytes"] > 4096


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_json_agrees_with_the_result(forkfold, texts, workers):
    bad = generate.folder(texts, "stats", files=20, ill_formed=0.3)
    words, failures = reference.count_paths(["texts"])
    sizes = [entry.stat().st_size for entry in os.scandir(texts) if entry.name not in bad]
    run = forkfold.words("-j", str(workers), "--stats=json", "texts")
    assert (run.code, run.out) == (1, reference.listing(words))
    stats = stats_of(run)
    check_consistent(stats)
    assert stats["workers"] == workers
    assert (stats["files"], stats["bytes"]) == (len(sizes), sum(sizes))
    assert stats["files_failed"] == len(failures)
    assert (stats["words"], stats["distinct"]) == (sum(words.values()), len(words))
    assert (stats["retries"], stats["deaths"], stats["spilled_bytes"]) == (0, 0, 0)


@pytest.mark.parametrize("option", ["--stats", "--stats=text"])
def test_text_has_a_line_for_each_subject_behind_the_summary(forkfold, texts, option):
    (texts / "a.txt").write_bytes(b"a b a")
    lines = forkfold.words(option, "-j", "1", "texts").err.splitlines()
    assert lines[0].startswith(b"forkfold: 1 file, 0 failed, 3 words, 2 distinct")
    assert [line.split()[1] for line in lines[1:]] == LABELS
    assert b"1 worker, " in lines[1] and b"1 file, 5 B" in lines[2]
    assert lines[-1].endswith(b"; 0 B spilled to disk")


@pytest.mark.parametrize("kind, lines", [("text", len(LABELS)), ("json", 1)])
def test_quiet_leaves_the_stats(forkfold, texts, kind, lines):
    (texts / "a.txt").write_bytes(b"word")
    run = forkfold.words("-q", f"--stats={kind}", "texts")
    assert (run.code, run.out) == (0, b"1\tword\n")
    assert run.err.count(b"\n") == lines


def test_nothing_is_told_unasked(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    assert forkfold.words("-v", "texts").err.count(b"\n") == 4


def test_nothing_to_count_has_stats_too(forkfold, texts):
    stats = stats_of(forkfold.words("-q", "--stats=json", "texts"))
    assert list(stats) == FIELDS
    assert (stats["files"], stats["words"], stats["bytes_per_s"]) == (0, 0, 0)


def test_run_without_a_result_has_none(forkfold, texts):
    (texts / "a.txt").write_bytes(b"\xff")
    run = forkfold.words("--on-error", "stop", "--stats=json", "texts")
    assert (run.code, run.out) == (3, b"")
    assert b"wall_s" not in run.err


@pytest.mark.parametrize("retries", [0, 2])
def test_deaths_are_counted(forkfold, texts, retries):
    for number in range(20):
        (texts / f"{number}.txt").write_bytes(b"word")
    (texts / "deadly.txt").write_bytes(b"word")
    run = forkfold.words("-j", "2", "--retries", str(retries), "--stats=json", "texts",
                         environment={"FORKFOLD_FAULT": "kill:begin:*deadly.txt"})  # fmt: skip
    assert (run.code, run.out) == (1, b"20\tword\n")
    stats = stats_of(run)
    check_consistent(stats)
    assert (stats["deaths"], stats["files_failed"]) == (retries + 1, 1)
    assert stats["retries"] == retries


def test_more_words_take_more_memory(forkfold, texts):
    (texts / "few.txt").write_bytes(b"word " * 1000)
    (texts / "many.txt").write_text(" ".join(f"word{i}" for i in range(300000)), encoding="ascii")
    few, many = (stats_of(forkfold.words("-q", "-j", "1", "--rule", "plain", "--top", "1",
                                         "--stats=json", f"texts/{name}.txt"))
                 for name in ("few", "many"))  # fmt: skip
    # A table of so many short keys has at least 16 bytes for each.
    assert many["peak_memory_bytes"] > few["peak_memory_bytes"] + 300000 * 16
