# SPDX-License-Identifier: Apache-2.0
"""The parts of the benchmark that do not depend on how fast anything is."""

import hashlib
import json
import math
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

BENCH = Path(__file__).resolve().parent.parent.parent / "bench"
sys.path[:0] = [str(BENCH), str(BENCH / "calls")]

import bench  # noqa: E402  the line above must come first
import data  # noqa: E402
import home  # noqa: E402
import measure  # noqa: E402
import plot  # noqa: E402
import pool  # noqa: E402
import programs  # noqa: E402
import record  # noqa: E402
import results_home  # noqa: E402
import rows  # noqa: E402
import same  # noqa: E402

SETS = sorted(data.SETS)


@pytest.fixture(scope="session")
def tools(tmp_path_factory):
    return tmp_path_factory.mktemp("tools")


def make_texts(folder, tools):
    texts = data.Texts(folder, 0.001)
    texts.tools = tools
    return texts


def digests(folder):
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).digest()
            for path in folder.rglob("*.txt")}


def total_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.txt"))


# ---- Texts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_texts_are_the_same_each_time(tmp_path, tools, name):
    first = make_texts(tmp_path / "first", tools).get(name)
    second = make_texts(tmp_path / "second", tools).get(name)
    assert digests(first) == digests(second) != {}


def test_another_seed_makes_other_texts(tmp_path, tools, monkeypatch):
    first = make_texts(tmp_path / "first", tools).get("big")
    monkeypatch.setattr(data, "SEED", 2)
    assert digests(make_texts(tmp_path / "second", tools).get("big")) != digests(first)


def test_texts_that_are_there_are_left_alone(tmp_path, tools):
    texts = make_texts(tmp_path, tools)
    mark = texts.get("big") / "mark"
    mark.touch()
    texts.get("big")
    assert mark.exists()


def test_texts_of_another_recipe_are_made_anew(tmp_path, tools):
    texts = make_texts(tmp_path, tools)
    texts.make("set", data.Recipe("english", 1, 1000))
    folder = texts.make("set", data.Recipe("english", 2, 1000))
    assert len(digests(folder)) == 2


@pytest.mark.parametrize("name", SETS)
def test_texts_are_valid_utf8_and_of_about_the_size_that_was_asked_for(tmp_path, tools, name):
    folder = make_texts(tmp_path, tools).get(name)
    for path in folder.rglob("*.txt"):
        path.read_bytes().decode("utf-8")
    wanted = data.SETS[name][0].size * (1 if name == "start" else 0.001)
    wanted *= {"skew": 2, "growth": 1 + data.GROWTH}.get(name, 1)
    assert 0.9 * wanted <= total_bytes(folder) <= 1.1 * wanted


def test_tiny_files_have_a_hundred_bytes_each(tmp_path, tools):
    folder = make_texts(tmp_path, tools).get("tiny")
    assert {path.stat().st_size for path in folder.iterdir()} == {100}


def test_skewed_and_even_files_have_the_same_bytes(tmp_path, tools):
    folder = make_texts(tmp_path, tools).get("skew")
    one, even = (sorted((folder / part).iterdir()) for part in ("one", "even"))
    assert len(one) == len(even) == data.SKEW_FILES
    assert (b"".join(path.read_bytes() for path in one)
            == b"".join(path.read_bytes() for path in even))
    sizes = [path.stat().st_size for path in one]
    assert max(sizes) > 0.85 * sum(sizes)


def test_grown_texts_have_the_same_words_ten_times(tmp_path, tools):
    folder = make_texts(tmp_path, tools).get("growth")
    small, large = (Counter(word for path in (folder / part).iterdir()
                            for word in path.read_bytes().split()) for part in ("small", "large"))
    assert large == Counter({word: 10 * count for word, count in small.items()})


def test_scripts_are_hardly_ascii(tmp_path, tools):
    folder = make_texts(tmp_path, tools).make("set", data.Recipe("scripts", 9, 90_000))
    words = [word for path in folder.iterdir() for word in path.read_text("utf-8").split()]
    assert sum(word.isascii() for word in words) < 0.1 * len(words)


# ---- Arithmetic --------------------------------------------------------------------------------


def test_ratio_is_of_medians_and_spread_is_of_rounds():
    ratio, spread = measure.ratio([1.0, 2.0, 4.0], [10.0, 20.0, 60.0], "min")
    assert ratio == 10.0
    assert spread == pytest.approx((15.0 - 10.0) / 10.0)


def test_share_is_what_the_other_leaves_of_our_time():
    share, spread = measure.share([1.0, 2.0, 4.0], [0.9, 1.5, 4.0])
    assert share == 0.25
    assert spread == pytest.approx(0.25)


def test_ratio_of_an_upper_bound_is_turned_round():
    assert measure.ratio([3.0], [2.0], "max") == (1.5, 0.0)


@pytest.mark.parametrize("name, ratio, expected", [
    ("many-pool", 28, "goal"), ("many-pool", 20, "least"), ("many-pool", 19.9, "no"),
    ("tiny", 0.7, "goal"), ("tiny", 1.2, "least"), ("tiny", 1.21, "no"),
    ("growth", 10.5, "least"), ("growth", 10.6, "no"),
    ("growth-memory", 1.1, "least"), ("growth-memory", 0.9, "least"),
    ("growth-memory", 0.89, "no"), ("growth-memory", 1.11, "no"),
    ("communication", 0.005, "goal"), ("communication", 0.02, "least"), ("communication", 0.03, "no"),
    ("many-limit", 5, "-"),
])
def test_verdict_follows_the_direction_of_the_row(name, ratio, expected):
    row, = rows.select(rows.ROWS, [name])
    assert rows.verdict(row, ratio) == expected


def test_unknown_row_is_refused():
    with pytest.raises(ValueError, match="no such row: nonsense"):
        rows.select(rows.ROWS, ["tiny", "nonsense"])


def test_rows_have_different_names_and_known_programs_and_texts():
    every = rows.ROWS + rows.OWN_ROWS
    assert len({row.id for row in every}) == len(every)
    for row in every:
        assert {row.ours.program, row.theirs.program} <= programs.PROGRAMS.keys()
        assert row.group() in data.SETS or row.group() == rows.OWN or row.is_called()


@pytest.mark.parametrize("cpus, expected", [
    (1, [1]), (2, [1, 2]), (4, [1, 2, 3, 4]), (6, [1, 2, 3, 4, 6]), (16, [1, 2, 3, 4, 8, 16]),
])
def test_worker_counts_end_with_all(cpus, expected):
    assert plot.worker_counts(cpus) == expected


# ---- Results -----------------------------------------------------------------------------------


def test_merge_keeps_other_rows_and_replaces_measured_ones():
    old = [{"id": "a", "ratio": 1, "note": "kept"}, {"id": "later", "ratio": 2}]
    new = [{"id": "a", "ratio": 3}, {"id": "b", "ratio": 4}]
    assert record.merge(old, new) == [{"id": "a", "ratio": 3, "note": "kept"},
                                      {"id": "later", "ratio": 2}, {"id": "b", "ratio": 4}]


def test_update_writes_entries_with_all_fields(tmp_path):
    path = tmp_path / "results.json"
    row, = rows.select(rows.ROWS, ["many-pool"])
    record.update(path, [{"id": "other"}])
    record.update(path, [record.entry(row, 21.98765, 0.0512345, "make bench ROWS=many-pool")])
    assert json.loads(path.read_text(encoding="utf-8")) == [
        {"id": "other"},
        {"id": "many-pool", "work": row.work, "peer": row.peer, "ratio": 21.99, "sense": "min",
         "least": 20, "goal": 28, "spread": 0.05123, "command": "make bench ROWS=many-pool"}]


def test_every_row_can_be_repeated_by_its_command(monkeypatch):
    for name in ("ROWS", "BENCH_DIR", "BENCH_SCALE", "BENCH_WORKERS", "BENCH_ROUNDS",
                 "BENCH_BINARY"):
        monkeypatch.delenv(name, raising=False)
    plan = bench.read_plan()
    for row in plan.rows:
        assert bench.command_line(plan, row) == f"make bench ROWS={row.id}"


@pytest.mark.parametrize("name, value", [
    ("ROWS", "nonsense"), ("BENCH_ROUNDS", "0"), ("BENCH_SCALE", "x"), ("BENCH_WORKERS", "-1"),
    ("BENCH_DIR", "/nonexistent"), ("BENCH_BINARY", "/nonexistent"),
])
def test_wrong_setting_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=value):
        bench.read_plan()


# ---- Checks ------------------------------------------------------------------------------------


def test_lowered_words_are_added_up():
    counts = Counter({"Ab".encode(): 2, "aB".encode(): 3, "É".encode(): 1, "é".encode(): 1})
    assert same.lowered(counts, False) == Counter({b"ab": 5, "é".encode(): 2})
    assert same.lowered(counts, True) == Counter({b"ab": 5, "É".encode(): 1, "é".encode(): 1})


def test_counts_are_read_from_lines(tmp_path):
    path = tmp_path / "counts"
    path.write_bytes(b"12\tword\n3\tother\n")
    assert same.read_counts(path) == Counter(
        {b"word": 12, b"other": 3})


def test_difference_names_a_word():
    assert same.difference(Counter({b"a": 1}), Counter({b"a": 1})) is None
    assert "'b' occurs 0 times for Forkfold and 2" in same.difference(
        Counter({b"a": 1}), Counter({b"a": 1, b"b": 2}))


@pytest.mark.parametrize("way", ["lower", "letters", "tuned"])
def test_python_peer_counts_by_its_rule(tmp_path, way):
    (tmp_path / "a.txt").write_text("Don't stop, stop.\n1984", encoding="utf-8")
    (tmp_path / "b.txt").write_text("STOP \u0130", encoding="utf-8")
    (tmp_path / ".hidden.txt").write_text("hidden", encoding="utf-8")
    command = programs.pool(way)(programs.Settings(2, tmp_path, tmp_path), str(tmp_path))
    measure.run_to_file(command, tmp_path / "out")
    expected = ({"don't": 1, "stop,": 1, "stop.": 1, "1984": 1, "stop": 1, "i\u0307": 1}
                if way == "lower" else {"dont": 1, "stop": 3, "i\u0307": 1})
    assert same.read_counts(tmp_path / "out") == Counter(
        {word.encode(): count for word, count in expected.items()})


@pytest.mark.parametrize("workers", [1, 3])
def test_reads_opens_every_text(tmp_path, tools, workers):
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text("word", encoding="utf-8")
    program = data.build_tool(tools, "reads")
    assert measure.run(programs.Command([str(program), str(tmp_path), str(workers)])) > 0
    (tmp_path / "gone.txt").symlink_to("nowhere")
    with pytest.raises(measure.Failed):
        measure.run(programs.Command([str(program), str(tmp_path), str(workers)]))


# ---- Calls -------------------------------------------------------------------------------------


def curve_digest(count):
    return str(pool.digest_of_numbers([pool.curve(x) for x in pool.numbers(count)]))


def test_call_is_what_a_program_says():
    assert measure.call(programs.Command(["/bin/echo", "0.25 7"])) == (0.25, "7")


def test_call_that_fails_says_why():
    command = programs.Command(["/bin/sh", "-c", "echo first >&2; echo last >&2; exit 1"])
    with pytest.raises(measure.Failed, match="^last$"):
        measure.call(command)


def test_program_whose_result_changes_has_failed(tmp_path):
    change = f"echo x >>{tmp_path}/runs; echo 1 $(wc -l <{tmp_path}/runs)"
    times, digests, failed = measure.interleave_calls(
        {"good": programs.Command(["/bin/echo", "0.5 7"]),
         "bad": programs.Command(["/bin/sh", "-c", change])}, 3)
    assert times == {"good": [0.5, 0.5, 0.5]}
    assert digests["good"] == "7"
    assert list(failed) == ["bad"]


def test_processes_and_python_pool_compute_the_same(tools):
    expected = curve_digest(1001)
    program = str(data.build_tool(tools, "processes"))
    assert measure.call(programs.Command([program, "loop", "3", "1", "1001"]))[1] == expected
    python = programs.python_call("open-map-close", 1, "1001")
    assert measure.call(python(programs.Settings(2, tools, tools), ""))[1] == expected


def test_python_pool_counts_a_text_in_memory(tmp_path):
    (tmp_path / "a.txt").write_text("Don't stop, stop.\n1984 \u0130 stop", encoding="utf-8")
    command = programs.python_call("text", 1)(programs.Settings(2, tmp_path, tmp_path), tmp_path)
    expected = Counter({"dont": 1, "stop": 3, "i\u0307": 1})
    assert measure.call(command)[1] == str(pool.digest_of_words(expected))


@pytest.mark.parametrize("batch", (1, 100))
def test_python_queue_brings_everything(tmp_path, batch):
    command = programs.python_call("queue", 1, f"1000/{batch}")
    settings = programs.Settings(2, tmp_path, tmp_path)
    assert measure.call(command(settings, ""))[1] == str(sum(range(1000)))


@pytest.mark.parametrize("work, count, digest", [
    ("claims", "1001", 1001), ("busy", "5/0", 10), ("ping-pong", "1", 5),
])
def test_processes_do_all_of_their_work(tools, work, count, digest):
    program = str(data.build_tool(tools, "processes"))
    assert measure.call(programs.Command([program, work, "3", "3", count]))[1] == str(digest)


def test_python_pool_and_fsum_give_what_is_wanted(tmp_path):
    settings = programs.Settings(2, tmp_path, tmp_path)
    imap = programs.python_call("imap", 1, "1000")
    assert measure.call(imap(settings, ""))[1] == str(sum(range(1, 1001)))
    values = pool.numbers(1000100)
    fsum = programs.python_call("fsum", 1, str(len(values)))
    expected = pool.digest_of_numbers([math.fsum(values)])
    assert measure.call(fsum(settings, ""))[1] == str(expected)


def test_pieces_of_a_text_are_all_of_it_and_end_at_white_space():
    text = "one  two three\nfour "
    for pieces in range(1, 12):
        places = pool.cut(text, pieces)
        assert "".join(text[slice(*place)] for place in places) == text
        assert sum((text[slice(*place)].split() for place in places), []) == text.split()


@pytest.mark.parametrize("way", sorted({way.call for way in results_home.WAYS
                                        if way.side == "python"}))
def test_every_way_home_of_python_brings_everything(way):
    script = str(BENCH / "calls" / "home.py")
    expected = sum((key + 1) * value for item in range(7) for key, value in
                   home.result_of(5, item).items())
    command = programs.Command([sys.executable, script, way, "2", "1", "7/5"])
    assert measure.call(command)[1] == str(expected)


def test_ways_home_are_written_between_the_marks_and_drawn():
    points = [{"way": way.id, "pairs": pairs, "us": pairs / 3, "low": pairs / 4, "high": pairs / 2}
              for way in results_home.WAYS for pairs in results_home.PAIRS]
    part = results_home.table(points)
    widths = {line.count(" |") for line in part.splitlines()}
    assert len(widths) == 1
    text = f"before\n{results_home.BEGIN}old\n{results_home.END}after\n"
    assert results_home.replace(text, part) == text.replace("old\n", part)
    assert results_home.replace(results_home.DOCUMENT.read_text(encoding="utf-8"), part).count(part) == 1
    root = ElementTree.fromstring(results_home.draw(points))
    assert len(root.findall(".//{http://www.w3.org/2000/svg}circle")) == len(points)


# ---- Measuring and drawing -----------------------------------------------------------------------


def test_failing_command_is_left_out_and_named():
    times, failed = measure.interleave(
        {"good": programs.Command(["/bin/true"]), "bad": programs.Command(["/bin/false"])}, 2)
    assert len(times["good"]) == 2
    assert failed == {"bad": "exit status 1"}


def test_peak_of_memory_has_what_a_command_holds():
    hold = "import os; memory = os.urandom(32 << 20)"
    command = programs.Command([sys.executable, "-c", hold])
    assert measure.peak_bytes(command) > 32 << 20


def test_sampled_peak_ends_with_the_command():
    assert measure.sampled_peak(programs.Command(["/bin/true"])) >= 0


def test_chart_is_well_formed_and_has_every_point():
    points = [{"series": name, "x": x, "seconds": x / 3, "low": x / 4, "high": x / 2}
              for name in ("Forkfold", "peer <1>") for x in (1, 10, 100)]
    root = ElementTree.fromstring(plot.draw(points, "Title & more", "x"))
    assert len(root.findall(".//{http://www.w3.org/2000/svg}circle")) == len(points)


def test_chart_of_one_point_can_be_drawn():
    point = {"series": "Forkfold", "x": 1, "seconds": 0.5, "low": 0.5, "high": 0.5}
    ElementTree.fromstring(plot.draw([point], "Title", "x"))
