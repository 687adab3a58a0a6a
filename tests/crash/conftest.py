# SPDX-License-Identifier: Apache-2.0
"""Inputs that all tests of crashes share, and what they count to when nobody dies."""

import pathlib
import resource
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position
import harness  # noqa: E402
import workloads  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _needs_the_command():
    if not harness.BINARY:
        pytest.skip("FORKFOLD_BINARY names no command with kill points")
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    return workloads.Inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def loads(inputs):
    """Every workload by its name, each with its undisturbed outcome."""
    return workloads.all_of(inputs)
