# SPDX-License-Identifier: Apache-2.0
"""Random inputs: the count is the sequential one, however the work is shared out."""

import os
import random

import generate
import pytest
import reference
import running
from expected import check_count

RULES = ("letters", "plain")
TREATMENTS = ("fail", "replace")
SEEDS = 6 if running.SANITIZED else 8
SPLITS = 3 if running.SANITIZED else 4


def random_split(source, low=16):
    """A size of pieces, the small ones as likely as the big ones."""
    return str(int(low * (5000 / low) ** source.random()))


def check_all_ways(forkfold, path, source, low=16):
    """That rules, treatments, workers and sizes of pieces at random give what Python counts."""
    for rule in RULES:
        for invalid in TREATMENTS:
            words, failures = reference.count_paths([path], rule, invalid)
            for _ in range(SPLITS):
                options = ["--rule", rule, "--invalid", invalid, "-j", str(source.randint(1, 16))]
                if source.random() < 0.9:
                    options += ["--split", random_split(source, low)]
                print("forkfold words", *options)
                check_count(forkfold.words(*options, path), words, failures)


@pytest.mark.seeds(SEEDS)
def test_generated_folder_counts_as_in_python(forkfold, texts, seed):
    source = random.Random(seed)
    generate.folder(texts, seed, files=12, ill_formed=0.3)
    # Pieces of 16 bytes of a file of 300 KB are nearly twenty thousand.
    check_all_ways(forkfold, "texts", source, low=200)


@pytest.mark.seeds(SEEDS)
def test_generated_small_files_in_tiny_pieces_count_as_in_python(forkfold, texts, seed):
    source = random.Random(seed)
    for number in range(10):
        make = source.choice([generate.text, generate.broken, generate.noise])
        data = make(f"{seed}.{number}", source.choice([40, 200, 1500]))
        (texts / f"{number}.txt").write_bytes(data)
    check_all_ways(forkfold, "texts", source)


@pytest.mark.seeds(SEEDS)
def test_bytes_at_random_count_as_in_python(forkfold, texts, seed):
    """Mostly what UTF-8 is made of, so that well-formed and ill-formed meet everywhere."""
    source = random.Random(seed)
    parts = [b"a", b"B", b" ", b"\n", b"\xc2\x85", b"\xe2\x80\xa8", b"\xc4\xb0", b"\xe2\x84\xaa"]
    parts += generate.ILL_FORMED + [part.encode() for part in ("\u3000", "\u4e2d", "\U0001f600")]
    for number in range(40):
        count = source.choice([1, 2, 5, 20, 100])
        shares = [1 if part in generate.ILL_FORMED else source.choice([1, 30]) for part in parts]
        data = b"".join(source.choices(parts, shares, k=count))
        # Damage can join its neighbours to a code point that some version does not assign.
        if all(is_assigned(character) for character in data.decode("utf-8", "replace")):
            (texts / f"{number}.txt").write_bytes(data)
    check_all_ways(forkfold, "texts", source)


def is_assigned(character):
    return character == "\ufffd" or any(
        character.encode() == part.encode()
        for part in "aB \n\u0085\u2028\u0130\u212a\u3000\u4e2d\U0001f600"
    )


@pytest.mark.parametrize("split", [16, 17, 23, 64])
@pytest.mark.parametrize("part", [b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xff", b"\x80"])
def test_ill_formed_bytes_are_found_at_every_place(forkfold, texts, part, split):
    text = "\u00e9\u4e2d\U0001f600 a\u0130".encode() * 6
    starts = [place for place, byte in enumerate(text) if byte & 0xC0 != 0x80]
    for place in [*starts, len(text)]:
        (texts / f"{place:03}.txt").write_bytes(text[:place] + part + text[place:])
        (texts / f"{place:03}-end.txt").write_bytes(text[:place] + part)
    for invalid in TREATMENTS:
        words, failures = reference.count_paths(["texts"], "plain", invalid)
        run = forkfold.words("--rule", "plain", "--invalid", invalid, "--split", str(split),
                             "texts")  # fmt: skip
        check_count(run, words, failures)


@pytest.mark.parametrize("rule", RULES)
def test_result_does_not_depend_on_the_locale(forkfold, texts, rule):
    generate.folder(texts, "locale", files=6)
    (texts / "i.txt").write_text("TITLE I \u0130 \u0131 \u03a3\u03a3 \u00df\n", encoding="utf-8")
    words, failures = reference.count_paths(["texts"], rule)
    for name in ("C", "C.UTF-8", "POSIX", "tr_TR.UTF-8", "de_DE.ISO-8859-1", "no such locale"):
        run = forkfold.words("--rule", rule, "texts", environment={"LC_ALL": name, "LANG": name})
        check_count(run, words, failures)


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 64])
def test_result_does_not_depend_on_the_number_of_workers(forkfold, texts, workers):
    generate.folder(texts, "workers", files=30, ill_formed=0.2)
    words, failures = reference.count_paths(["texts"])
    check_count(forkfold.words("-j", str(workers), "texts"), words, failures)


def test_more_workers_than_files_count_once(forkfold, texts):
    (texts / "one.txt").write_bytes(b"word")
    assert forkfold.words("-j", "100", "texts").out == b"1\tword\n"


def test_repeated_runs_print_the_same_bytes(forkfold, texts):
    generate.folder(texts, "again", files=20, ill_formed=0.2)
    runs = {forkfold.words("-q", "-j", "4", "--split", "777", "texts") for _ in range(10)}
    assert len(runs) == 1


def test_many_distinct_words_are_folded_completely(forkfold, texts):
    count = 60000
    for number in range(8):
        words = (f"w{chr(97 + i % 26)}{i}x" for i in range(number, count, 2))
        (texts / f"{number}.txt").write_text("\n".join(words), encoding="ascii")
    words, failures = reference.count_paths(["texts"], "plain")
    assert len(words) == count
    check_count(forkfold.words("--rule", "plain", "-j", "4", "--split", "9000", "texts"),
                words, failures)  # fmt: skip


def test_totals_tell_files_bytes_and_words(forkfold, texts):
    bad = generate.folder(texts, "totals", files=15, ill_formed=0.3)
    words, failures = reference.count_paths(["texts"])
    sizes = [entry.stat().st_size for entry in os.scandir(texts) if entry.name not in bad]
    summary = forkfold.words("texts").summary()
    assert summary == (len(sizes), len(bad), sum(words.values()), len(words))
    assert len(failures) == len(bad)
