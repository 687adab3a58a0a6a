# SPDX-License-Identifier: Apache-2.0
"""What a result looks like, to programs; test_terminal.py has what people see."""

import csv
import io
import json
import os
import re

import generate
import pytest
import reference

EXTREMES = "\0 \"quo\\te\" \x01\x1b[31m\x7f \u0080 \u202e \ufffd \U0001f600 </p>".encode()


@pytest.fixture
def counted(texts):
    """A folder with words of many counts, and what Python counts in it."""
    generate.folder(texts, "output", files=10, ill_formed=0.2)
    (texts / "bad.txt").write_bytes(b"b b b \xe2\x82")
    (texts / "ties.txt").write_bytes(b"b a c " * 7 + b"B \xc3\xa9 z " * 2)
    (texts / "other.md").write_bytes(b"not counted")
    (texts / "Makefile").write_bytes(b"not counted")
    return reference.count_paths([texts])


def test_tsv_is_sorted_by_count_and_then_by_bytes(forkfold, counted):
    words, failures = counted
    lines = forkfold.words("texts").out.split(b"\n")
    assert lines.pop() == b""
    pairs = [(-int(count), word) for count, _, word in (line.partition(b"\t") for line in lines)]
    assert pairs == sorted(pairs)
    assert {word: -count for count, word in pairs} == words
    assert len(failures) > 0


def test_tsv_may_be_asked_for_by_name(forkfold, counted):
    assert forkfold.words("--format", "tsv", "texts").out == reference.listing(counted[0])


@pytest.mark.parametrize("top", [0, 1, 2, 3, 10, 10**9, 2**64 - 2])
def test_top_keeps_the_most_frequent_words(forkfold, counted, top):
    lines = reference.listing(counted[0]).splitlines(keepends=True)
    kept = lines[:top] if top else lines
    assert forkfold.words("--top", str(top), "texts").out == b"".join(kept)


@pytest.mark.parametrize("least", [0, 1, 2, 3, 50, 2**64 - 1])
def test_min_count_drops_rarer_words(forkfold, counted, least):
    kept = {word: count for word, count in counted[0].items() if count >= least}
    assert forkfold.words("--min-count", str(least), "texts").out == reference.listing(kept)


def test_top_and_min_count_both_hold(forkfold, texts):
    (texts / "a.txt").write_bytes(b"a a a b b b c c d")
    assert forkfold.words("--top", "3", "--min-count", "3", "texts").out == b"3\ta\n3\tb\n"
    assert forkfold.words("--top", "1", "--min-count", "2", "texts").out == b"3\ta\n"


def test_selection_does_not_change_the_totals(forkfold, counted):
    whole = forkfold.words("texts").summary()
    assert forkfold.words("--top", "1", "--min-count", "5", "texts").summary() == whole


def json_words(result):
    return [(entry["word"].encode(), entry["count"]) for entry in result["words"]]


def ranked(words):
    return sorted(words.items(), key=lambda item: (-item[1], item[0]))


@pytest.mark.parametrize("rule", ["letters", "plain"])
def test_json_holds_all_words_and_totals(forkfold, texts, counted, rule):
    words, failures = reference.count_paths([texts], rule)
    run = forkfold.words("--rule", rule, "--format", "json", "texts")
    result = json.loads(run.out.decode())
    assert json_words(result) == ranked(words)
    bad = {failure.path for failure in failures}
    good = [path for path in reference.list_files(texts)[0] if path not in bad]
    assert result["totals"] == {
        "files": len(good),
        "files_failed": len(failures),
        "files_other": 2,
        "bytes": sum(map(os.path.getsize, good)),
        "words": sum(words.values()),
        "distinct": len(words),
    }
    assert list(result) == ["words", "totals"]
    assert run.code == 1


def test_json_escapes_what_json_must_escape(forkfold):
    with open("input", "wb") as file:
        file.write(EXTREMES)
    run = forkfold.words("--rule", "plain", "--format", "json", "input")
    words = reference.count_text(EXTREMES, "plain")
    assert json_words(json.loads(run.out.decode())) == ranked(words)
    assert not any(byte < 0x20 and byte != 0x0A for byte in run.out)


def test_json_has_one_word_a_line(forkfold, texts):
    (texts / "a.txt").write_bytes(b"b a b")
    out = forkfold.words("--format", "json", "--top", "1", "texts").out
    assert out == (
        b'{"words":[\n{"word":"b","count":2}\n],"totals":{"files":1,"files_failed":0,'
        b'"files_other":0,"bytes":5,"words":3,"distinct":2}}\n'
    )


def test_json_of_nothing_is_valid(forkfold, texts):
    run = forkfold.words("-q", "--format", "json", "texts")
    result = json.loads(run.out)
    assert result["words"] == []
    assert set(result["totals"].values()) == {0}
    assert run.code == 0


def test_json_selects_like_tsv(forkfold, counted):
    run = forkfold.words("--format", "json", "--top", "4", "--min-count", "2", "texts")
    assert json_words(json.loads(run.out.decode())) == ranked(counted[0])[:4]


def csv_words(out):
    rows = list(csv.reader(io.StringIO(out.decode(), newline="")))
    assert rows[0] == ["count", "word"]
    return [(word.encode(), int(count)) for count, word in rows[1:]]


@pytest.mark.parametrize("rule", ["letters", "plain"])
def test_csv_holds_all_words(forkfold, texts, counted, rule):
    words, _ = reference.count_paths([texts], rule)
    run = forkfold.words("--rule", rule, "--format", "csv", "texts")
    assert csv_words(run.out) == ranked(words)
    assert run.code == 1


def test_csv_quotes_only_what_must_be_quoted(forkfold):
    with open("input", "wb") as file:
        file.write(b"a,b \"c\" d\"e' ' ; = ,")
    out = forkfold.words("--rule", "plain", "--format", "csv", "input").out
    assert out == b'count,word\n1,"""c"""\n1,\'\n1,","\n1,;\n1,=\n1,"a,b"\n1,"d""e\'"\n'


def test_csv_of_nothing_has_its_header(forkfold, texts):
    assert forkfold.words("-q", "--format", "csv", "texts").out == b"count,word\n"


@pytest.mark.parametrize("rule", ["letters", "plain"])
def test_ndjson_has_an_object_a_word(forkfold, texts, counted, rule):
    words, _ = reference.count_paths([texts], rule)
    run = forkfold.words("--rule", rule, "--format", "ndjson", "texts")
    lines = run.out.decode().split("\n")
    assert lines.pop() == ""
    objects = [json.loads(line) for line in lines]
    assert json_words({"words": objects}) == ranked(words)
    assert all(list(entry) == ["count", "word"] for entry in objects)


def test_ndjson_escapes_what_json_must_escape(forkfold):
    with open("input", "wb") as file:
        file.write(EXTREMES)
    run = forkfold.words("--rule", "plain", "--format", "ndjson", "input")
    objects = [json.loads(line) for line in run.out.decode().split("\n")[:-1]]
    assert json_words({"words": objects}) == ranked(reference.count_text(EXTREMES, "plain"))
    assert not any(byte < 0x20 and byte != 0x0A for byte in run.out)


def test_ndjson_of_nothing_is_empty(forkfold, texts):
    assert forkfold.words("-q", "--format", "ndjson", "texts").out == b""


@pytest.mark.parametrize("name, parse", [
    ("csv", csv_words),
    ("ndjson", lambda out: json_words({"words": [json.loads(line) for line in out.splitlines()]})),
])  # fmt: skip
def test_every_format_selects_like_tsv(forkfold, counted, name, parse):
    run = forkfold.words("--format", name, "--top", "4", "--min-count", "2", "texts")
    assert parse(run.out) == ranked(counted[0])[:4]


@pytest.mark.parametrize("name", ["csv", "json", "ndjson"])
def test_every_format_goes_to_a_file_too(forkfold, counted, name):
    printed = forkfold.words("-q", "--format", name, "texts").out
    assert forkfold.words("--format", name, "-o", "out", "texts", creates=["out"]).out == b""
    with open("out", "rb") as file:
        assert file.read() == printed


def test_verbose_run_tells_what_it_does(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    (texts / "b.md").write_bytes(b"word")
    run = forkfold.words("-v", "-j", "2", "--rule", "plain", "--glob", "*.txt", "--timeout", "90s",
                         "--retries", "0", "--split", "4K", "-r", "texts")  # fmt: skip
    workers, options, more = run.messages()
    assert re.fullmatch(rb"forkfold: version [\d.]+, 2 workers, \d+ usable CPUs?", workers)
    assert options == (
        b"forkfold: options: --workers 2 --rule plain --glob '*.txt' --recursive --timeout 90s "
        b"--retries 0 --split 4096 --verbose"
    )
    assert re.fullmatch(
        rb"forkfold: 4 B, .*/s, 0 inputs tried again, 1 other file left out", more
    )
    assert run.summary() == (1, 0, 1, 1)


def test_quiet_outdoes_verbose(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    assert forkfold.words("-q", "-v", "texts").err == b""


def test_summary_counts_one_file_in_the_singular(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    assert forkfold.words("texts").err.startswith(b"forkfold: 1 file, 0 failed, 1 words, ")
    (texts / "b.txt").write_bytes(b"word")
    assert forkfold.words("texts").err.startswith(b"forkfold: 2 files, 0 failed, 2 words, ")


def test_quiet_run_says_nothing_on_stderr(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    assert forkfold.words("-q", "texts").err == b""
    assert forkfold.words("--quiet", "texts").err == b""


def test_quiet_run_lists_failures_nonetheless(forkfold, texts):
    (texts / "a.txt").write_bytes(b"\xff")
    run = forkfold.words("-q", "texts")
    assert run.err == b"forkfold: texts/a.txt: invalid UTF-8 at byte 0: invalid start byte\n"
    assert run.code == 1


def test_failed_inputs_are_listed_in_order_of_their_paths(forkfold, texts):
    names = [b"b", b"B", b"a", b"aa", b"a b", b"10", b"9", b"\xc3\xa9", b"\xff", b"~"]
    for name in names:
        with open(b"texts/" + name + b".txt", "wb") as file:
            file.write(b"\xff")
    shown = [line.split(b": ")[1] for line in forkfold.words("-j", "4", "texts").messages()]
    expected = sorted(b"texts/" + name + b".txt" for name in names)
    assert shown == [path.replace(b"\xff", b"\\xff") for path in expected]


def test_exit_code_is_zero_when_every_input_counts(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    assert forkfold.words("texts").code == 0


def test_exit_code_is_one_when_an_input_fails(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    (texts / "b.txt").write_bytes(b"word \xff")
    run = forkfold.words("texts")
    assert (run.code, run.out) == (1, b"1\tword\n")
    assert forkfold.words("--invalid", "replace", "texts").code == 0


@pytest.mark.parametrize("bad", ["a.txt", "m.txt", "z.txt"])
def test_run_told_to_stop_at_a_failure_gives_no_result(forkfold, texts, bad):
    for name in ("a.txt", "m.txt", "z.txt"):
        (texts / name).write_bytes(b"\xff" if name == bad else b"word")
    run = forkfold.words("--on-error", "stop", "-o", "out", "texts")
    assert (run.code, run.out) == (3, b"")
    assert b"an input failed" in run.err
    assert b"no result was written" in run.err
    # Whoever stops wants to know at what.
    assert f"texts/{bad}: invalid UTF-8 at byte 0".encode() in run.err


def test_run_told_to_stop_goes_on_without_failures(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    run = forkfold.words("--on-error", "stop", "texts")
    assert (run.code, run.out) == (0, b"1\tword\n")


def test_passed_deadline_gives_no_result(forkfold):
    run, held = forkfold.start_held("words", "--deadline", "200ms", "-o", "out", "-")
    result = run.finish()
    held.close()
    assert (result.code, result.out) == (3, b"")
    assert b"deadline" in result.err
    assert b"0 of 1 files were done; no result was written" in result.err


def test_input_that_passes_the_timeout_is_a_failed_input(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    run, held = forkfold.start_held("words", "--timeout", "200ms", "-", "texts")
    result = run.finish()
    held.close()
    assert (result.code, result.out) == (1, b"1\tword\n")
    assert len(result.messages()) == 1
    assert result.err.startswith(b"forkfold: -: it took longer than the timeout")


def test_deadline_and_timeout_that_are_not_reached_change_nothing(forkfold, counted):
    run = forkfold.words("--deadline", "2h", "--timeout", "2h", "texts")
    assert run.out == reference.listing(counted[0])
    assert run.code == 1
