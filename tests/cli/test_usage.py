# SPDX-License-Identifier: Apache-2.0
"""Wrong usage: exit code 2, one message that names the thing and the way out, nothing run."""

import os
import re

import pytest
from expected import safe

# Arguments, and what the message must hold.  The folder has texts/a.txt, empty/, a link that
# leads nowhere, and an ill-formed file.
USAGE_ERRORS = [
    ([], ["no command", "forkfold words PATH", "forkfold --help"]),
    (["word", "texts"], ["'word'", "did you mean 'forkfold words'?"]),
    (["hlep"], ["'hlep'", "did you mean 'forkfold help'?"]),
    (["xyzzy"], ["'xyzzy'", "forkfold --help"]),
    (["texts"], ["'texts'", "forkfold words 'texts'"]),
    (["--hlep"], ["'--hlep'", "did you mean '--help'?"]),
    (["--versio"], ["'--versio'", "did you mean '--version'?"]),
    (["-q", "texts"], ["'-q'", "follow the command"]),
    (["help", "wrods"], ["'wrods'", "did you mean 'forkfold words'?"]),
    (["words"], ["no PATH", "- for standard input", "forkfold words --help"]),
    (["words", "-q"], ["no PATH"]),
    (["words", "--rul", "plain", "gone"], ["'gone'"]),
    (["words", "--wrkers", "2", "texts"], ["'--wrkers'", "did you mean '--workers'?"]),
    (["words", "--recrusive", "texts"], ["'--recrusive'", "did you mean '--recursive'?"]),
    (["words", "--xyzzy", "texts"], ["'--xyzzy'", "forkfold words --help"]),
    (["words", "--xyzzy=3", "texts"], ["'--xyzzy'", "forkfold words --help"]),
    (["words", "--re", "texts"], ["'--re'", "--recursive", "--retries"]),
    (["words", "-x", "texts"], ["'-x'", "forkfold words --help"]),
    (["words", "-qx", "texts"], ["'-x'", "forkfold words --help"]),
    (["words", "--quiet=yes", "texts"], ["'--quiet'", "no argument", "'='"]),
    (["words", "texts", "-j"], ["'--workers'", "--workers N"]),
    (["words", "texts", "--rule"], ["'--rule'", "letters|plain"]),
    (["words", "texts", "--output"], ["'--output'", "--output FILE"]),
    (["words", "-j", "0", "texts"], ["'--workers'", "from 1 to", "'0'"]),
    (["words", "-j", "-1", "texts"], ["'--workers'", "from 1 to", "'-1'"]),
    (["words", "-j", "two", "texts"], ["'--workers'", "whole number", "'two'"]),
    (["words", "-j", "2x", "texts"], ["'--workers'", "'2x'"]),
    (["words", "-j", " 2", "texts"], ["'--workers'", "' 2'"]),
    (["words", "-j", "1.5", "texts"], ["'--workers'", "'1.5'"]),
    (["words", "-j", "", "texts"], ["'--workers'", "''"]),
    (["words", "-j", "99999999999999999999", "texts"], ["'--workers'", "from 1 to"]),
    (["words", "-j", "5000", "texts"], ["'--workers'", "from 1 to 4096", "'5000'"]),
    (["words", "--top", "-1", "texts"], ["'--top'", "0 or more", "'-1'"]),
    (["words", "--top", "18446744073709551616", "texts"], ["'--top'", "0 or more"]),
    (["words", "--min-count", "x", "texts"], ["'--min-count'", "0 or more", "'x'"]),
    (["words", "--retries", "-1", "texts"], ["'--retries'", "from 0 to", "'-1'"]),
    (["words", "--max-deaths", "0", "texts"], ["'--max-deaths'", "from 1 to", "'0'"]),
    (["words", "--timeout", "soon", "texts"], ["'--timeout'", "1.5s", "2m", "'soon'"]),
    (["words", "--timeout", "-1s", "texts"], ["'--timeout'", "'-1s'"]),
    (["words", "--timeout", "1d", "texts"], ["'--timeout'", "1h", "'1d'"]),
    (["words", "--timeout", "1.s", "texts"], ["'--timeout'", "'1.s'"]),
    (["words", "--deadline", "1e3", "texts"], ["'--deadline'", "'1e3'"]),
    (["words", "--deadline", "9999999999h", "texts"], ["'--deadline'", "'9999999999h'"]),
    (["words", "--split", "0", "texts"], ["'--split'", "from 16 bytes", "'0'"]),
    (["words", "--split", "4MB", "texts"], ["'--split'", "4M", "'4MB'"]),
    (["words", "--split", "-4K", "texts"], ["'--split'", "'-4K'"]),
    (["words", "--split", "99999999999G", "texts"], ["'--split'", "'99999999999G'"]),
    (["words", "--split", "15", "texts"], ["--split", "15", "16"]),
    (["words", "--split", "64G", "texts"], ["--split", "64G", "to 1G,"]),
    (["words", "--memory", "0", "texts"], ["'--memory'", "at least 1M", "'0'"]),
    (["words", "--memory", "1023K", "texts"], ["'--memory'", "at least 1M", "'1023K'"]),
    (["words", "--memory", "half", "texts"], ["'--memory'", "64M", "'half'"]),
    (["words", "--memory", "99999999999G", "texts"], ["'--memory'", "'99999999999G'"]),
    (["words", "texts", "--memory"], ["'--memory'", "--memory SIZE"]),
    (["words", "--split", "1", "texts"], ["'--split'", "from 16 bytes to 1G", "'1'"]),
    (["words", "--split", "2G", "texts"], ["'--split'", "from 16 bytes to 1G", "'2G'"]),
    (["words", "--cpu", "avx", "texts"], ["'--cpu'", "auto|avx512|avx2|generic", "'avx'"]),
    (["words", "--stats=xml", "texts"], ["'--stats'", "text|json", "'xml'"]),
    (["words", "--stats=", "texts"], ["'--stats'", "text|json", "''"]),
    (["words", "--rule", "letter", "texts"], ["'--rule'", "letters|plain", "'letter'"]),
    (["words", "--rule", "Letters", "texts"], ["'--rule'", "letters|plain", "'Letters'"]),
    (["words", "--invalid", "ignore", "texts"], ["'--invalid'", "fail|replace", "'ignore'"]),
    (["words", "--format", "xml", "texts"], ["'--format'", "tsv|csv|json|ndjson", "'xml'"]),
    (["words", "--on-error", "", "texts"], ["'--on-error'", "skip|stop", "''"]),
    (["words", "--progress", "yes", "texts"], ["'--progress'", "auto|always|never", "'yes'"]),
    (["words", "--glob", "", "texts"], ["'--glob'", "PATTERN", "not empty"]),
    (["words", "-o", "", "texts"], ["'--output'", "FILE", "not empty"]),
    (["words", "-o", "x", "-o", "y", "texts"], ["'--output'", "twice", "'x'", "'y'", "once"]),
    (["words", "--glob", "a", "--glob", "b", "texts"], ["'--glob'", "twice", "'a'", "'b'"]),
    (["words", "-0", "texts"], ["'--null'", "--files-from"]),
    (["words", "--files-from", "-", "-"], ["'-'", "--files-from", "leave out one"]),
    (["words", "gone"], ["'gone'", "no such file or directory", "check the spelling"]),
    (["words", "texts", "gone"], ["'gone'", "no such file or directory"]),
    (["words", "texts/a.txt/b"], ["'texts/a.txt/b'", "not a directory"]),
    (["words", ""], ["''", "no such file or directory"]),
    (["words", "dangling"], ["'dangling'", "symbolic link"]),
    (["words", "loop"], ["'loop'", "symbolic links"]),
    (["words", "/dev/zero"], ["'/dev/zero'", "character device", "standard input"]),
    (["words", "x" * 300], ["File name too long", "check the path"]),
    (["words", "-o", "texts", "texts"], ["'texts'", "--output", "directory", "another file"]),
    (["words", "-o", "no/out", "texts"], ["'no/out'", "--output", "does not exist", "create"]),
    (["words", "-o", "out/", "texts"], ["'out/'", "--output"]),
    (["words", "-o", "texts/a.txt/b", "texts"], ["'texts/a.txt/b'", "--output", "directory"]),
    (["words", "-o", "loop", "texts"], ["'loop'", "--output", "symbolic links"]),
    (["words", "-o", "x" * 300, "texts"], ["--output", "File name too long", "another file"]),
    (["words", "--failures", "-", "texts"], ["'--failures'", "'-'", "/dev/stderr"]),
    (["words", "--failures", "no/f", "texts"], ["'no/f'", "--failures", "does not exist"]),
    (["words", "-o", "f", "--failures", "./f", "texts"], ["--failures", "two files", "'./f'"]),
]


def name_of(case):
    return " ".join(argument[:20] for argument in case[0]) or "nothing"


@pytest.fixture
def folder(tmp_path, texts):
    (texts / "a.txt").write_bytes(b"word")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").write_bytes(b"\xff")
    os.symlink("nowhere", tmp_path / "dangling")
    os.symlink("loop", tmp_path / "loop")
    return tmp_path


@pytest.mark.parametrize("case", USAGE_ERRORS, ids=name_of)
def test_wrong_usage_is_explained_and_nothing_is_run(forkfold, folder, case):
    arguments, parts = case
    run = forkfold(*arguments)
    assert run.code == 2
    assert run.out == b""
    assert run.err.startswith(b"forkfold: ") and run.err.count(b"\n") == 1
    message = run.err.decode()
    for part in parts:
        assert part in message


@pytest.mark.parametrize("name", ["-r.txt", "-x", "-rx", "--files.txt", "-.txt"])
def test_paths_that_read_as_options_are_told_with_the_way_out(forkfold, texts, name):
    assert b"unknown option" in forkfold.words(name, "texts").err
    (texts.parent / name).write_bytes(b"word")
    for arguments in ([name], ["-q", name, "texts"], ["texts", name]):
        run = forkfold.words(*arguments)
        assert (run.code, run.out) == (2, b"")
        assert run.err == f"forkfold: '{name}' reads as options; for the path of that name, write " \
            "-- before it\n".encode()
    assert forkfold.words("--", name).out == b"1\tword\n"


def test_first_wrong_path_is_reported_before_anything_is_read(forkfold, folder):
    """The FIFO would block whoever opened it, the ill-formed file be listed."""
    os.mkfifo("fifo")
    run = forkfold.words("bad", "gone", "fifo", "-o", "out")
    assert (run.code, run.out) == (2, b"")
    assert len(run.messages()) == 1 and b"'gone'" in run.err


@pytest.mark.parametrize("name", [b"a\nb", b"\xff", b"\x1b[2J", "\u202e".encode(), b"tab\t"])
def test_names_in_messages_are_shown_safely(forkfold, name):
    for arguments in ([b"words", name], [b"words", b"--rule", name, b"."], [name]):
        run = forkfold(*arguments)
        assert (run.code, run.out) == (2, b"")
        assert b"'" + safe(name) + b"'" in run.err
        assert run.err.count(b"\n") == 1


def test_long_options_may_be_cut_short_while_unique(forkfold, folder):
    out = forkfold.words("--rule", "plain", "--recursive", "--top", "1", "texts").out
    assert forkfold.words("--ru", "plain", "--rec", "--to=1", "texts").out == out


def test_options_and_paths_may_be_mixed(forkfold, folder):
    run = forkfold.words("texts", "-q", "bad", "-j2", "--format=tsv", "texts")
    assert (run.code, run.out) == (1, b"2\tword\n")


def test_last_of_repeated_values_wins(forkfold, folder):
    run = forkfold.words("--top", "5", "--top", "0", "-j", "3", "-j1", "-q", "-q", "texts")
    assert (run.code, run.out, run.err) == (0, b"1\tword\n", b"")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_names_the_commands_and_the_way_to_more(forkfold, arguments):
    run = forkfold(*arguments)
    assert (run.code, run.err) == (0, b"")
    text = run.out.decode()
    assert "words" in text and "man forkfold" in text and "forkfold words --help" in text


@pytest.mark.parametrize("arguments", [["words", "--help"], ["words", "-h"], ["help", "words"],
                                       ["words", "gone", "--help"]])  # fmt: skip
def test_help_of_words_fits_a_screen_and_points_to_the_manual(forkfold, arguments):
    run = forkfold(*arguments)
    assert (run.code, run.err) == (0, b"")
    lines = run.out.decode().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24
    assert "man forkfold" in run.out.decode()
    for option in ("--workers", "--rule", "--files-from", "--output", "--failures", "--split"):
        assert option in run.out.decode()


def test_every_option_of_the_help_is_in_the_manual(forkfold):
    manual = os.path.join(os.path.dirname(__file__), "..", "..", "man", "forkfold.1")
    with open(manual, encoding="utf-8") as file:
        documented = re.findall(r"Fl -([a-z-]+)", file.read())
    offered = re.findall(r"--([a-z-]+)", forkfold.words("--help").out.decode())
    assert set(offered) <= set(documented)


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["words", "-V"],
                                       ["words", "--version", "gone"]])  # fmt: skip
def test_version_tells_the_versions_and_the_licence(forkfold, arguments):
    run = forkfold(*arguments)
    assert (run.code, run.err) == (0, b"")
    lines = run.out.decode().splitlines()
    assert re.fullmatch(r"forkfold \d+\.\d+\.\d+", lines[0])
    assert re.fullmatch(r"Unicode \d+\.\d+\.\d+", lines[1])
    assert "Apache" in lines[2]


@pytest.mark.parametrize("duration", ["0", "100", "100s", "1.5m", "100000ms", "2h", "0.5h"])
def test_durations_are_understood(forkfold, folder, duration):
    run = forkfold.words("-q", "--timeout", duration, "--deadline", duration, "texts")
    assert (run.code, run.out, run.err) == (0, b"1\tword\n", b"")


@pytest.mark.parametrize("size", ["16", "17", "4K", "4k", "1.5M", "1g"])
def test_sizes_are_understood(forkfold, folder, size):
    run = forkfold.words("-q", "--split", size, "texts")
    assert (run.code, run.out, run.err) == (0, b"1\tword\n", b"")
