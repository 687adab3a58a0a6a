# SPDX-License-Identifier: Apache-2.0
"""Counts that do not fit in memory: the same result, by way of a disk that may fail."""

import json
import os
import resource
import select
import shutil
import signal
import subprocess

import generate
import pytest
import reference
import running
from expected import check_count

DISTINCT = 60000 if running.SANITIZED else 120000
FILES = 5
LIMIT = ("--memory", "1M")
MIB = 1 << 20
ILL_FORMED = b" \xff "


def letters(number):
    """A short word of its own for each number."""
    word = ""
    while True:
        word += chr(97 + number % 26)
        number //= 26
        if number == 0:
            return word


def make_word(number):
    """Keys of every size class, some with NUL or beyond ASCII, some in capitals."""
    word = letters(number)
    shapes = (
        word, word + "q", word.upper(), word + "\0" + word, "\0" + word, f"{word}\u00e9\u4e2d",
        word + "-longer-than-sixteen", "sixteen-and-more-" + word * 3,
        word + "-of-more-than-sixty-four-bytes" * 3, "\u00e9" * 40 + word,
    )  # fmt: skip
    return shapes[number % len(shapes)]


def make_text(seed, first=0, distinct=DISTINCT):
    """Half of the words, each once, in any order: most counts have many ties."""
    source = generate.Source("spill", seed)
    chosen = [number for number in range(first, first + distinct) if source.happens(0.5)]
    chosen.sort(key=lambda number: (number * 2654435761) % (1 << 32))
    return " ".join(map(make_word, chosen)).encode()


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder of good texts."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(FILES):
        (folder / f"{number}.txt").write_bytes(make_text(number))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def mixed(many, tmp_path_factory):
    """The same beside ill-formed ones, which have words that no other has and are split too."""
    folder = tmp_path_factory.mktemp("mixed")
    for name in os.listdir(many):
        os.link(many / name, folder / name)
    for number, place in enumerate((0.01, 0.6, 1.0)):
        text = make_text(f"bad {number}", DISTINCT * (number + 1), DISTINCT // 2)
        cut = text.index(b" ", int(len(text) * place) - 100)
        (folder / f"{number}-bad.txt").write_bytes(text[:cut] + ILL_FORMED + text[cut:])
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def counted(many, mixed):
    """What Python counts, by folder, rule and treatment of ill-formed text."""
    known = {}

    def count(folder, rule, invalid="fail"):
        key = (folder, rule, invalid)
        if key not in known:
            known[key] = reference.count_paths([folder], rule, invalid)
        return known[key]

    return count


def stats_of(run):
    return json.loads(run.err.splitlines()[-1])


def spilled(run):
    """How much went to disk, by the statistics; the summary must agree on whether anything did."""
    stats = stats_of(run)
    assert (b" spilled to disk\n" in run.err) == (stats["spilled_bytes"] > 0)
    return stats["spilled_bytes"]


def without_stats(run):
    """The same run as if nobody had asked for statistics."""
    return run._replace(err=run.err[: run.err.rindex(b"\n", 0, -1) + 1])


def count(forkfold, *arguments, **options):
    return forkfold.words("--stats=json", *arguments, **options)


@pytest.mark.parametrize("rule", ["plain", "letters"])
@pytest.mark.parametrize("split", ["4M", "64K", "9000"])
@pytest.mark.parametrize("workers", ["1", "2", "4"])
def test_spilled_counts_are_those_of_python(forkfold, many, counted, workers, split, rule):
    run = count(forkfold, *LIMIT, "-j", workers, "--split", split, "--rule", rule, many)
    check_count(without_stats(run), *counted(many, rule))
    assert spilled(run) > MIB


def test_enough_memory_spills_nothing(forkfold, many, counted):
    run = count(forkfold, "--memory", "1G", "--rule", "plain", many)
    check_count(without_stats(run), *counted(many, "plain"))
    assert spilled(run) == 0


@pytest.mark.parametrize("invalid", ["fail", "replace"])
@pytest.mark.parametrize("split", ["4M", "64K", "20000"])
@pytest.mark.parametrize("workers", ["1", "3"])
def test_file_that_fails_after_it_spilled_counts_nothing(forkfold, mixed, counted, workers, split,
                                                         invalid):
    run = count(forkfold, *LIMIT, "-j", workers, "--split", split, "--rule", "plain", "--invalid",
                invalid, mixed)  # fmt: skip
    words, failures = counted(mixed, "plain", invalid)
    assert len(failures) == (3 if invalid == "fail" else 0)
    check_count(without_stats(run), words, failures)
    assert spilled(run) > MIB


@pytest.mark.parametrize("end", [b"", ILL_FORMED], ids=["good", "bad"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_standard_input_spills_and_counts_wholly_or_not_at_all(forkfold, many, workers, end):
    text = make_text("stream", first=DISTINCT // 2) + end
    paths = [many / "0.txt", "-"]
    words, failures = reference.count_paths(paths, "plain", stdin=text)
    run = count(forkfold, *LIMIT, "-j", workers, "--rule", "plain", *paths, input_bytes=text)
    assert run.out == reference.listing(words)
    assert (run.code, len(failures)) == ((1, 1) if end else (0, 0))
    assert spilled(run) > MIB


@pytest.mark.parametrize("options", [
    ["--format", "tsv"], ["--format", "csv"], ["--format", "json"], ["--format", "ndjson"],
    ["--top", "1000"], ["--min-count", "4"], ["--top", "7", "--min-count", "2"],
    ["--format", "json", "--top", "100"],
], ids=" ".join)  # fmt: skip
def test_every_format_is_the_same_with_and_without_a_limit(forkfold, mixed, options):
    options = [*options, "--rule", "plain", "--split", "64K", "-q", mixed]
    limited = count(forkfold, *LIMIT, *options)
    assert stats_of(limited)["spilled_bytes"] > MIB
    unlimited = count(forkfold, "--memory", "1G", *options)
    assert stats_of(unlimited)["spilled_bytes"] == 0
    assert (limited.code, limited.out) == (unlimited.code, unlimited.out)


def test_result_file_is_the_same(forkfold, many, counted):
    run = forkfold.words(*LIMIT, "-o", "out", "--rule", "plain", many, creates=["out"])
    assert (run.code, run.out) == (0, b"")
    with open("out", "rb") as file:
        assert file.read() == reference.listing(counted(many, "plain")[0])


# ---- A folder that is no good


def check_refused(run, folder, reason, way_out):
    assert (run.code, run.out) == (3, b""), run
    message = run.err.decode()
    for part in (f"in '{folder}'", "does not fit in memory", reason, way_out):
        assert part in message, message
    assert "no result was written" in message


def refuse(forkfold, many, folder, **options):
    """A run that spills to a folder where it cannot; Command.finish() looks for what it left."""
    run = forkfold.words(*LIMIT, "-j", "2", "--rule", "plain", "-o", "out", many,
                         environment={"TMPDIR": str(folder)}, **options)  # fmt: skip
    assert not os.path.exists("out")
    return run


@pytest.mark.parametrize("name, reason", [("missing", "No such file or directory"),
                                          ("file", "Not a directory")])
def test_folder_that_is_not_there_is_named(forkfold, many, tmp_path, name, reason):
    (tmp_path / "file").touch()
    run = refuse(forkfold, many, tmp_path / name)
    check_refused(run, tmp_path / name, reason, "name a folder where it can be written by TMPDIR")


def test_long_name_of_a_folder_does_not_hide_the_rest(forkfold, many, tmp_path):
    run = refuse(forkfold, many, tmp_path / ("x" * 300))
    assert run.code == 3
    for part in (b" in '...xxx", b"xxx': File name too long; name a folder", b"more memory\n"):
        assert part in run.err


def test_folder_that_may_not_be_written_is_named(forkfold, many, tmp_path, as_user):
    (tmp_path / "locked").mkdir(mode=0o500)
    run = refuse(forkfold, many, tmp_path / "locked", prefix=as_user)
    check_refused(run, tmp_path / "locked", "Permission denied", "by TMPDIR")
    assert os.listdir("locked") == []


def test_folder_is_not_touched_while_memory_suffices(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    run = forkfold.words("-q", "texts", environment={"TMPDIR": "/nowhere"})
    assert (run.code, run.out, run.err) == (0, b"1\tword\n", b"")


@pytest.mark.parametrize("size", [0, 100_000, 1_500_000])
def test_limit_of_file_sizes_is_named(forkfold, many, size):
    def limit():
        os.setpgrp()
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    run = refuse(forkfold, many, forkfold.temporary, preexec_fn=limit)
    check_refused(run, forkfold.temporary, "File too large", "ulimit -f")


# Runs a command in a mount namespace of its own, in which $TMPDIR is small.
SMALL_TMPDIR = 'mount -t tmpfs -o size=$SIZE none "$TMPDIR" && exec "$@"'


@pytest.fixture
def small_disk(forkfold):
    """What to put before a command so that its TMPDIR holds $SIZE bytes."""
    for options in (["-m"], ["-r", "-m"]):
        prefix = ["unshare", *options, "sh", "-c", SMALL_TMPDIR, "sh"]
        probe = subprocess.run([*prefix, "true"], check=False, capture_output=True,
                               env={**os.environ, "TMPDIR": forkfold.temporary, "SIZE": "64k"})
        if probe.returncode == 0:
            return prefix
    pytest.skip("no file system can be mounted here")
    return None


# The small one is full while words are counted, the larger one while the partials are merged.
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_full_disk_is_named(forkfold, many, small_disk, share):
    need = stats_of(count(forkfold, *LIMIT, "-j", "2", "--rule", "plain", many))["spilled_bytes"]
    size = int(need * share)
    run = forkfold.words(*LIMIT, "-j", "2", "--rule", "plain", "-o", "out", many,
                         prefix=small_disk, environment={"SIZE": str(size)},
                         creates=["out"])  # fmt: skip
    if share == 0.9 and run.code == 0:
        return  # what has been merged is given back, so that this may do
    check_refused(run, forkfold.temporary, "No space left on device", "free space there")
    assert not os.path.exists("out")


# ---- While it runs


def spill_files(run, folder):
    """What the supervisor has open in the folder."""
    found = []
    for process in run.processes(running.SUPERVISOR):
        for entry in os.listdir(f"/proc/{process.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{process.pid}/fd/{entry}")
            except OSError:
                continue
            if target.startswith(f"{folder}/"):
                found.append(target)
    return found


@pytest.fixture
def spilling(forkfold):
    """A run that has spilled and waits for more; returned with its input."""
    run, held = forkfold.start_held("words", *LIMIT, "-j", "2", "--rule", "plain", "-")
    number = 0
    while not spill_files(run, forkfold.temporary):
        words = b""
        while len(words) < running.PAGE - 40:
            words += make_word(number).encode()[:30] + b"%d " % number
            number += 1
        held.feed(words[: running.PAGE - 10])
        assert number < 1_000_000, "nothing is spilled"
    yield run, held
    held.close()


def test_spilled_files_have_no_names(forkfold, spilling):
    run, held = spilling
    assert all(path.endswith(" (deleted)") for path in spill_files(run, forkfold.temporary))
    assert os.listdir(forkfold.temporary) == []
    held.close()
    result = run.finish()
    assert result.code == 0 and b" spilled to disk" in result.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_spilling_leaves_nothing(forkfold, spilling, number):
    run, _ = spilling
    run.signal(number)
    running.wait_for_event(os.pidfd_open(run.pid), select.POLLIN, "the end of the command")
    run.wait_until_gone()
    result = run.finish()
    assert (result.code, result.out) == (-9 if number == signal.SIGKILL else 128 + number, b"")


# ---- Memory


def write_words(folder, files, distinct, copies=1):
    """Files of 50,000 words at random, each so many times by links."""
    folder.mkdir()
    for number in range(files):
        source = generate.Source("memory", f"{number} {distinct}")
        numbers = (source.below(distinct) for _ in range(50000))
        text = " ".join(letters(number) + "z" * (number % 17) for number in numbers)
        (folder / f"{number}-0.txt").write_text(text, encoding="ascii")
        for copy in range(1, copies):
            os.link(folder / f"{number}-0.txt", folder / f"{number}-{copy}.txt")
    return folder


def peak(forkfold, folder, memory, workers):
    run = count(forkfold, "--memory", str(memory), "-j", str(workers), "--rule", "plain", "--top",
                "1", folder)  # fmt: skip
    assert run.code == 0
    return stats_of(run)["peak_memory_bytes"], spilled(run)


@pytest.mark.skipif(running.SANITIZED, reason="the sanitizer has its own memory")
def test_ten_times_the_data_takes_the_same_memory(forkfold, wide_place):
    once = write_words(wide_place / "once", 16, 150000)
    ten_times = write_words(wide_place / "ten", 16, 150000, copies=10)
    peak_once, spilled_once = peak(forkfold, once, 2 * MIB, 1)
    peak_ten, spilled_ten = peak(forkfold, ten_times, 2 * MIB, 1)
    assert spilled_once > 4 * MIB and spilled_ten > 5 * spilled_once
    # Lists of files and of what was spilled grow, but hardly.
    assert peak_ten < 1.1 * peak_once + MIB // 4


@pytest.mark.skipif(running.SANITIZED, reason="the sanitizer has its own memory")
@pytest.mark.parametrize("workers", [1, 2])
def test_ten_times_the_words_stay_within_the_limit(forkfold, wide_place, workers):
    limit = 4 * MIB
    tiny = wide_place / "tiny"
    tiny.mkdir()
    (tiny / "a.txt").write_bytes(b"word")
    fixed, nothing = peak(forkfold, tiny, limit, workers)
    # Each worker reads and writes through buffers, and has a file and lists of words in memory.
    allowance = fixed + workers * 2 * MIB
    few, _ = peak(forkfold, write_words(wide_place / "few", 12, 60000), limit, workers)
    many, spilled_bytes = peak(forkfold, write_words(wide_place / "many", 40, 600000), limit,
                               workers)  # fmt: skip
    assert nothing == 0 and spilled_bytes > 4 * limit
    assert few <= limit + allowance and many <= limit + allowance
