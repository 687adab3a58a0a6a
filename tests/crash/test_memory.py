# SPDX-License-Identifier: Apache-2.0
"""A worker that the kernel kills for want of memory, in a memory cgroup of the test's own."""

import os
import pathlib
import uuid

import pytest

import harness
import reference

LIMIT_BYTES = 256 << 20


def make_group():
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
            (group / limit).write_text(str(LIMIT_BYTES), encoding="ascii")
            return group
        except OSError:
            group.rmdir()
    return None


@pytest.fixture(name="group")
def _group():
    group = make_group()
    if group is None:
        pytest.skip("no memory cgroup can be made here")
    yield group
    group.rmdir()


@pytest.mark.skipif(harness.UNDER_ASAN, reason="the sanitizer's shadow memory is over the limit")
@pytest.mark.parametrize("workers", (1, 3))
def test_file_that_eats_all_memory_is_given_up_and_the_driver_lives(tmp_path, group, workers):
    words = reference.Counter()
    for number in range(200):
        text = f"good file {number} word"
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
        words.update(reference.count_text(text.encode()))
    poison = tmp_path / "77-poison.txt"
    poison.write_text("eats memory", encoding="utf-8")

    def enter():
        (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    run = harness.Run(["-j", workers, tmp_path], before=enter,
                      environment={"FORKFOLD_FAULT": "leak:middle:*-poison.txt"})
    outcome = run.finish()
    assert outcome.code == 1, outcome
    assert outcome.failed_paths() == {os.fsencode(poison)}
    assert outcome.failures[0]["reason"] == "memory"
    assert outcome.failures[0]["attempts"] == 3
    assert outcome.output == reference.listing(words)
