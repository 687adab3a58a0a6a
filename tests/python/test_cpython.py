# SPDX-License-Identifier: Apache-2.0
"""CPython's own tests of its pool pass with this one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("cpython_pool_tests.py")
# Fewer would mean that they have moved; CPython 3.10 has the fewest.
LEAST = 29


def test_cpythons_own_pool_tests_pass(tmp_path):
    done = subprocess.run([sys.executable, PROGRAM], cwd=tmp_path, capture_output=True, text=True,
                          check=False, timeout=600)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    ran = re.search(r"^Ran (\d+) tests", done.stderr, re.MULTILINE)
    assert done.returncode == 0 and ran, done.stderr
    assert int(ran.group(1)) >= LEAST and "skipped" not in done.stderr
