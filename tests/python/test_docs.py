# SPDX-License-Identifier: Apache-2.0
"""What the documents show is so."""

import doctest
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def test_examples_of_the_page_on_python_are_true():
    results = doctest.testfile(str(DOCS / "python.md"), module_relative=False)
    assert results.failed == 0 and results.attempted > 10
