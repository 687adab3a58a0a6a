# SPDX-License-Identifier: Apache-2.0
"""Deaths at random.  FORKFOLD_TEST_SEED replays what a failure printed."""

import os
import random
import select
import signal

import pytest

import generate
import harness
import reference

SEED = int(os.environ.get("FORKFOLD_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
BATCHES = 5 if harness.UNDER_ASAN else 20
RUNS_PER_BATCH = 30 if harness.UNDER_ASAN else 50
STORMS = 2 if harness.UNDER_ASAN else 6
KILLS_PER_STORM = 60


def check(load, outcome, how):
    """What is right depends on who passed the point that was drawn."""
    if not outcome.witness or outcome.witness[0].startswith("worker."):
        load.check_same(outcome)
    elif outcome.witness[0].startswith("supervisor."):
        load.check_lost_supervisor(outcome)
    else:
        load.check_dead_driver(outcome, how)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_death_of_anyone_at_a_random_point_never_gives_a_wrong_result(loads, batch):
    draw = random.Random(f"{SEED} points {batch}")
    for turn in range(RUNS_PER_BATCH):
        name = draw.choice(("small", "split", "poison", "split poison", "spill"))
        load = loads[name]
        number = draw.randint(1, load.passes("*") + 1)
        print(f"seed {SEED}, batch {batch}, turn {turn}: {name}, point number {number}")
        outcome = load.run(harness.kill_at("*", "kill", number), to_file=draw.random() < 0.5)
        check(load, outcome, signal.SIGKILL)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Enough to count for a while: split files and whole ones, each many times by hard links."""
    folder = tmp_path_factory.mktemp("large")
    texts = tmp_path_factory.mktemp("texts")
    words = reference.Counter()
    for number, (size, copies) in enumerate(((150_000, 60), (20_000, 400), (1_500_000, 8))):
        text = generate.text(f"large {number}", min(size, 150_000))
        text *= size // len(text) + 1
        (texts / f"{number}").write_bytes(text)
        for copy in range(copies):
            os.link(texts / f"{number}", folder / f"{number}-{copy}.txt")
        for word, count in reference.count_text(text).items():
            words[word] += count * copies
    return folder, reference.listing(words)


def workers_of(supervisor):
    try:
        with open(f"/proc/{supervisor}/task/{supervisor}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def kill_at_random(run, draw):
    """Kills workers until the run ends or has seen enough; returns how many were killed."""
    driver = os.pidfd_open(run.driver.pid)
    supervisor = None
    killed = 0
    while killed < KILLS_PER_STORM and not select.select([driver], [], [], draw.random() / 200)[0]:
        if supervisor is None:
            supervisor = run.supervisor()
        workers = workers_of(supervisor)
        if workers:
            try:
                os.kill(draw.choice(workers), signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
    os.close(driver)
    return killed


@pytest.mark.parametrize("storm", range(STORMS))
def test_workers_killed_from_outside_again_and_again_change_nothing(large, storm):
    folder, listing = large
    draw = random.Random(f"{SEED} storm {storm}")
    print(f"seed {SEED}, storm {storm}")
    run = harness.Run(["-j", "4", "--retries", "1000", "--max-deaths", "100000", "--split", "100K",
                       folder], to_file=storm % 2 == 0)
    killed = kill_at_random(run, draw)
    outcome = run.finish()
    assert killed > 0, "the run was over before anybody could be killed"
    assert outcome.code == 0, outcome._replace(output=b"")
    assert outcome.output == listing, "wrong counts"
