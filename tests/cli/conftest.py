# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command share: the command itself, and a watch over hangs."""

import os
import random
import resource
import shutil
import signal
import subprocess

import pytest

pytest.register_assert_rewrite("expected", "running")

import running  # noqa: E402  the line above must come first

# What a command that is run by root must not have, so that permissions mean something to it.
PERMISSION_RIGHTS = "-dac_override,-dac_read_search"


def pytest_configure(config):
    config.addinivalue_line("markers", "seeds(count): once with each of so many seeds")
    if not os.access(running.BINARY, os.X_OK):
        raise pytest.UsageError("FORKFOLD_BINARY must name the command; tests/run sets it")


def pytest_report_header():
    return f"forkfold: {running.BINARY}"


def seeds(count):
    """Seeds for generated inputs: half of them new in each run.  They are part of the test's
    name; FORKFOLD_TEST_SEED repeats one."""
    chosen = os.environ.get("FORKFOLD_TEST_SEED")
    if chosen is not None:
        return [chosen]
    fixed = list(range(count // 2))
    fresh = random.SystemRandom().sample(range(1000, 10**6), count - len(fixed))
    return [str(seed) for seed in fixed + sorted(fresh)]


def pytest_generate_tests(metafunc):
    marker = metafunc.definition.get_closest_marker("seeds")
    if marker is not None:
        metafunc.parametrize("seed", seeds(*marker.args))


@pytest.fixture(scope="session", autouse=True)
def no_core_files():
    """Of the workers that the tests have crash."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


@pytest.fixture(autouse=True)
def watchdog():
    """Ends a test that waits for what never comes."""

    def give_up(number, frame):
        raise TimeoutError("the test hangs")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(2 * running.HANG_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture
def forkfold(tmp_path, tmp_path_factory, monkeypatch):
    """The command, to be run in tmp_path, which is the test's working directory too."""
    monkeypatch.chdir(tmp_path)
    temporary = tmp_path_factory.mktemp("temporary")
    command = running.Command(tmp_path, temporary)
    yield command
    command.close()


@pytest.fixture
def texts(tmp_path):
    """An empty folder for inputs, in the folder that the command runs in."""
    folder = tmp_path / "texts"
    folder.mkdir()
    return folder


@pytest.fixture
def wide_place(tmp_path):
    """A folder that is too big to be kept for a look after the test."""
    folder = tmp_path / "wide"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_user():
    """What to put before a command so that permissions hold for it."""
    if os.geteuid() != 0:
        return ()
    prefix = ("setpriv", f"--bounding-set={PERMISSION_RIGHTS}")
    probe = [*prefix, "true"]
    if shutil.which("setpriv") is None or subprocess.run(probe, check=False).returncode != 0:
        pytest.skip("root reads everything here")
    return prefix
