# SPDX-License-Identifier: Apache-2.0
"""What the benchmark compares the package with gives the same results as plain Python."""

import math
import sys
from pathlib import Path

import pytest

numpy = pytest.importorskip("numpy")
sys.path.append(str(Path(__file__).resolve().parents[2] / "bench" / "peers"))

import python_reference  # noqa: E402  pylint: disable=wrong-import-position


@pytest.fixture(name="processor", params=[python_reference.Processor,
                                          python_reference.TunedProcessor])
def open_processor(request):
    with request.param(2) as processor:
        yield processor


def test_items_and_pipeline(processor):
    numbers = list(range(2500))
    assert processor.process_data_spawn_per_item(numbers) == [
        number * number + math.sin(number) * math.cos(number) for number in numbers]
    assert processor.run_pipeline(numbers) == [(number * 2 + 10)**2 for number in numbers]


def test_primes_of_any_limit_and_segment(processor, monkeypatch):
    monkeypatch.setattr(python_reference, "SEGMENT", 64)
    for limit in (0, 2, 3, 4, 9, 10, 25, 26, 1009, 1010, 5000):
        assert processor.parallel_find_primes(limit) == [
            number for number in range(2, limit)
            if all(number % divisor for divisor in range(2, math.isqrt(number) + 1))]


@pytest.mark.parametrize("scale", (1, 2**24))
def test_matrices_of_integers(processor, monkeypatch, scale):
    monkeypatch.setattr(python_reference, "SENT_LEAST", 0)
    left = [[scale * (row - column) for column in range(11)] for row in range(20)]
    right = [[scale * (row + column) for column in range(7)] for row in range(11)]
    product = processor.parallel_matrix_multiply(left, right)
    assert product == [[sum(a * b for a, b in zip(row, column)) for column in zip(*right)]
                       for row in left]
    assert type(product[0][0]) is int


def test_words_by_the_letters_rule(processor):
    assert processor.map_reduce_word_count("Don't stop, stop.\n1984 \u0130 stop " * 50) == {
        "dont": 50, "stop": 150, "i\u0307": 50}
