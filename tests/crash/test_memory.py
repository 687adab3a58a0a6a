# SPDX-License-Identifier: Apache-2.0
"""Workers that the kernel kills for want of memory, or that spill before it does, in a memory
cgroup of the test's own."""

import json
import os
import pathlib
import shutil
import uuid

import pytest

import harness
import reference
import workloads

LIMIT_BYTES = 256 << 20

# For counts that would take several times as much.
SMALL_LIMIT_BYTES = 64 << 20


def make_group(limit_bytes):
    """A cgroup of either version with a limit of memory, or None where that is not allowed."""
    name = f"forkfold-test-{uuid.uuid4()}"
    for parent, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                          ("/sys/fs/cgroup", "memory.max")):
        group = pathlib.Path(parent) / name
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(limit_bytes), encoding="ascii")
            return group
        except OSError:
            group.rmdir()
    return None


@pytest.fixture(name="group")
def _group(request):
    group = make_group(getattr(request, "param", LIMIT_BYTES))
    if group is None:
        pytest.skip("no memory cgroup can be made here")
    yield group
    group.rmdir()


def start_in(group, arguments, **options):
    def enter():
        (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    return harness.Run(arguments, before=enter, **options)


not_sanitized = pytest.mark.skipif(harness.UNDER_ASAN,
                                   reason="the sanitizer's shadow memory is over the limit")


@not_sanitized
@pytest.mark.parametrize("workers", (1, 3))
def test_file_that_eats_all_memory_is_given_up_and_the_driver_lives(tmp_path, group, workers):
    words = reference.Counter()
    for number in range(200):
        text = f"good file {number} word"
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
        words.update(reference.count_text(text.encode()))
    poison = tmp_path / "77-poison.txt"
    poison.write_text("eats memory", encoding="utf-8")
    run = start_in(group, ["-j", workers, tmp_path],
                   environment={"FORKFOLD_FAULT": "leak:middle:*-poison.txt"})
    outcome = run.finish()
    assert outcome.code == 1, outcome
    assert outcome.failed_paths() == {os.fsencode(poison)}
    assert outcome.failures[0]["reason"] == "memory"
    assert outcome.failures[0]["attempts"] == 3
    assert outcome.output == reference.listing(words)


@pytest.fixture(name="many", scope="module")
def _many(tmp_path_factory):
    """Texts with so many different words that the small limit does not hold their counts, and
    what they count to."""
    folder = tmp_path_factory.mktemp("many words")
    words = reference.Counter()
    for number in range(6):
        text = workloads.different_words(f"memory {number}", 200000, 100000 * number)
        (folder / f"{number}.txt").write_bytes(text)
        words.update(reference.count_text(text))
    yield folder, reference.listing(words)
    shutil.rmtree(folder)


def count_in(group, folder, *options):
    # A file system in memory would be charged to the cgroup.
    return start_in(group, ["--stats=json", "-j", "2", *options, folder],
                    environment={"TMPDIR": "/var/tmp"}).finish()


@not_sanitized
@pytest.mark.parametrize("group", [SMALL_LIMIT_BYTES], indirect=True)
@pytest.mark.parametrize("options", ([], ["--memory", "8M"]), ids=("default", "8M"))
def test_counts_that_are_over_the_limit_spill_before_anybody_is_killed(group, many, options):
    folder, listing = many
    outcome = count_in(group, folder, *options)
    assert outcome.code == 0, outcome._replace(output=b"")
    assert outcome.output == listing, "wrong counts"
    stats = json.loads(outcome.stderr.splitlines()[-1])
    assert stats["deaths"] == 0 and stats["spilled_bytes"] > 0
    assert stats["peak_memory_bytes"] < SMALL_LIMIT_BYTES
