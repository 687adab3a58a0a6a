#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the ways to bring results home, and writes them into docs/results-home.md.

usage: make bench-results [BENCH_WORKERS=N] [BENCH_ROUNDS=N] [BENCH_SCALE=0.01]

Writes the table and the machine between the marks in docs/results-home.md, draws
docs/results-home.svg, and keeps all figures in bench/results-home.json.  A run that is scaled writes
all of them to the cache folder instead.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

import bench
import data
import measure
import programs
import svg

PAIRS = (1, 128, 8192)  # of a result, 8 bytes each
REPEATS = {"home": 5, "python": 1}
# As many as take a while, of each size of result.
ITEMS = {"home": (200_000, 20_000, 500), "python": (20_000, 2_000, 50), "manager": (1_000, 20, 1)}
BEGIN, END = "<!-- make bench-results: begin -->\n", "<!-- make bench-results: end -->\n"
DOCUMENT = programs.ROOT / "docs" / "results-home.md"


class Way(NamedTuple):
    id: str
    name: str
    call: str  # of home.c, or of home.py
    side: str  # "home" or "python"
    items: str
    counterpart: str  # of a way of Python's: what it stands beside


WAYS = (
    Way("loop", "no workers", "loop", "home", "home", ""),
    Way("returned", "each result returned", "returned", "home", "home", ""),
    Way("queue-1", "queue, one by one", "queue-1", "home", "home", ""),
    Way("queue-batch", "queue, in batches", "queue-batch", "home", "home", ""),
    Way("dictionary", "shared dictionary", "dictionary", "home", "home", ""),
    Way("partials", "sealed partials", "partials", "home", "home", ""),
    Way("python-loop", "no workers, Python", "loop", "python", "python", "loop"),
    Way("python-map", "Pool.map", "map", "python", "python", "returned"),
    Way("python-queue-1", "multiprocessing.Queue", "queue-1", "python", "python", "queue-1"),
    Way("python-queue-batch", "Queue, lists of 100", "queue-batch", "python", "python", "queue-batch"),
    Way("python-dictionary", "Manager().dict()", "dictionary", "python", "manager", "dictionary"),
    Way("python-partials", "a dict of each worker", "partials", "python", "python", "partials"),
    Way("python-list", "Manager().list()", "list", "python", "python", ""),
)


def count_of(plan, way, size):
    return max(1, round(ITEMS[way.items][size] * plan.scale))


def command_of(plan, way, size):
    program = ([str(programs.call_program(plan.settings, "home"))] if way.side == "home"
               else [sys.executable, str(Path(__file__).resolve().parent / "calls" / "home.py")])
    return programs.Command([*program, way.call, str(plan.settings.workers),
                             str(REPEATS[way.side]),
                             f"{count_of(plan, way, size)}/{PAIRS[size]}"])


def measure_all(plan):
    """[{way, pairs, us, low, high}, ...]: microseconds an item."""
    points = []
    for size, pairs in enumerate(PAIRS):
        times, _, failed = measure.interleave_calls(
            {way: command_of(plan, way, size) for way in WAYS}, plan.rounds,
            lambda done, pairs=pairs: data.say(f"{pairs} pairs: round {done} of {plan.rounds}"))
        for way, problem in failed.items():
            data.say(f"{pairs} pairs: {way.name} failed: {problem}")
        for way, seconds in times.items():
            us = [1e6 * second / count_of(plan, way, size) for second in seconds]
            points.append({"way": way.id, "pairs": pairs, "us": statistics.median(us),
                           "low": min(us), "high": max(us)})
    return points


def cell(value):
    """Three digits, as far as they say something."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def table(points):
    """Each way of Forkfold's beside its counterpart."""
    found = {(point["way"], point["pairs"]): point["us"] for point in points}
    beside = {way.counterpart: way for way in WAYS if way.counterpart}

    def cells(way):
        if way is None:
            return ["", *[""] * len(PAIRS)]
        return [f"`{way.name}`" if "." in way.name else way.name,
                *(cell(found.get((way.id, pairs))) for pairs in PAIRS)]

    sizes = [f"{8 * pairs:,} B" for pairs in PAIRS]
    lines = [["Forkfold, µs an item", *sizes, "Python, µs an item", *sizes],
             ["---", *["---:"] * len(PAIRS)] * 2]
    for way in WAYS:
        if way.side == "home":
            lines.append(cells(way) + cells(beside.get(way.id)))
        elif not way.counterpart:
            lines.append(cells(None) + cells(way))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def draw(points):
    """All ways in one chart: a way and its counterpart have a colour in common."""
    colours = dict(zip((way.id for way in WAYS if way.side == "home"), svg.COLOURS))
    styles, series = {}, {}
    for way in WAYS:
        values = [svg.Point(8 * point["pairs"], point["us"], point["low"], point["high"])
                  for point in points if point["way"] == way.id]
        if values:
            series[way.name] = sorted(values)
            styles[way.name] = svg.Style(colours.get(way.counterpart or way.id, "#666"),
                                         way.side == "python")
    return svg.chart("Bringing results home: Forkfold, and Python (dashed)", "bytes of a result",
                     series, "microseconds an item", styles)


def generated(figures):
    """What stands between the marks."""
    return (f"{figures['machine']}; Forkfold {figures['forkfold']}; medians of {figures['rounds']} "
            f"rounds.\n\n{table(figures['points'])}")


def replace(text, part):
    """The document with another part between the marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + part + END + rest.split(END)[1]


def main():
    try:
        plan = bench.read_plan()
    except ValueError as problem:
        data.say(problem)
        return 2
    if not bench.build(plan):
        return 1
    try:
        programs.call_program(plan.settings, "home")
    except programs.Unavailable as problem:
        data.say(problem)
        return 2
    figures = {"machine": measure.machine(plan.settings.workers), "forkfold": measure.commit(),
               "rounds": plan.rounds, "points": measure_all(plan)}
    figures_folder, folder = Path(__file__).resolve().parent, DOCUMENT.parent
    if plan.scale != 1:
        figures_folder = folder = plan.settings.cache / f"results-home-{plan.scale:g}"
        folder.mkdir(parents=True, exist_ok=True)
    text = replace(DOCUMENT.read_text(encoding="utf-8"), generated(figures))
    (folder / "results-home.md").write_text(text, encoding="utf-8")
    (folder / "results-home.svg").write_text(draw(figures["points"]), encoding="utf-8")
    (figures_folder / "results-home.json").write_text(json.dumps(figures, indent=1) + "\n",
                                                      encoding="utf-8")
    print(f"{generated(figures)}\nin {folder}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
