# SPDX-License-Identifier: Apache-2.0
"""--cpu: whichever instructions find the words, they are the same words."""

import generate
import pytest
import reference
from expected import check_count

VARIANTS = ("avx512", "avx2", "generic")


@pytest.fixture
def runnable(forkfold, texts):
    """The variants that this machine runs, by the exit codes."""
    found = []
    for name in VARIANTS:
        run = forkfold.words("--cpu", name, "texts", "-q")
        assert run.code in (0, 2), run
        if run.code == 0:
            found.append(name)
    assert "generic" in found
    return found


def test_variant_that_the_machine_lacks_is_wrong_usage(forkfold, texts, runnable):
    for name in set(VARIANTS) - set(runnable):
        run = forkfold.words("--cpu", name, "texts")
        assert (run.code, run.out) == (2, b"")
        (message,) = run.messages()
        assert f"'{name}'".encode() in message and runnable[0].encode() in message


@pytest.mark.parametrize("rule", ["letters", "plain"])
@pytest.mark.parametrize("invalid", ["fail", "replace"])
@pytest.mark.seeds(2)
def test_every_variant_counts_as_python_does(forkfold, texts, runnable, seed, rule, invalid):
    generate.folder(texts, seed, files=25, ill_formed=0.4)
    words, failures = reference.count_paths(["texts"], rule, invalid)
    for name in [*runnable, "auto"]:
        for split in ("333", "4M"):
            run = forkfold.words("--cpu", name, "--rule", rule, "--invalid", invalid, "-j", "2",
                                 "--split", split, "texts")  # fmt: skip
            check_count(run, words, failures)
