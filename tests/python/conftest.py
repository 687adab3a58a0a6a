# SPDX-License-Identifier: Apache-2.0
"""Pools for the tests of the Python package, which is installed where they run."""

import os

import pytest

import forkfold

@pytest.fixture
def pool():
    """Two workers."""
    with forkfold.Pool(2) as opened:
        yield opened


@pytest.fixture
def lost_children():
    """Fails a test that leaves processes of a pool behind."""
    before = _children()
    yield
    assert _children() <= before


def _children():
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as listed:
        return set(listed.read().split())
