#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures and draws time against workers, input size and number of files.

usage: make bench-plot [BENCH_WORKERS=N] [BENCH_ROUNDS=N] [BENCH_SCALE=0.01]
                       [BENCH_BINARY=file]

Writes bench/plots/*.svg, and plots.json with the figures beside them; a run that is scaled or of
another binary writes to the cache folder instead.
"""

import json
import statistics
import sys
from pathlib import Path

import bench
import data
import measure
import programs
import svg

MEGABYTE = 1_000_000
SIZES = (1, 4, 16, 64, 256)  # MB, in SIZE_FILES files
SIZE_FILES = 100
COUNTS = (1, 10, 100, 1_000, 10_000, 100_000)  # files, of COUNT_MEGABYTES in all
COUNT_MEGABYTES = 16

NAMES = {"forkfold": "Forkfold", "pool-letters": "Python pool", "reads": "only reads"}


def worker_counts(cpus):
    """1, 2, 3, 4, then doubling, and all there are."""
    counts = list(range(1, min(cpus, 4) + 1))
    while counts[-1] * 2 <= cpus:
        counts.append(counts[-1] * 2)
    return counts if counts[-1] == cpus else [*counts, cpus]


def time_all(plan, what, names, settings, folder):
    """[{name, seconds, low, high}, ...] of some programs on one folder."""
    commands = {name: programs.PROGRAMS[name].command(settings, str(folder)) for name in names}
    times, failed = measure.interleave(commands, plan.rounds)
    for name, problem in failed.items():
        data.say(f"{what}: {name} failed: {problem}")
    data.say(f"{what}: done")
    return [{"series": NAMES[name], "seconds": statistics.median(values), "low": min(values),
             "high": max(values)} for name, values in times.items()]


def against_workers(plan):
    folder = plan.texts.get("many")
    for workers in worker_counts(plan.settings.workers):
        settings = plan.settings._replace(workers=workers)
        for point in time_all(plan, f"{workers} workers", ("forkfold", "pool-letters", "reads"),
                              settings, folder):
            yield {"chart": "workers", "x": workers, **point}


def against_size(plan):
    for size in SIZES:
        recipe = data.Recipe("broad", SIZE_FILES, size * MEGABYTE)
        recipe = recipe._replace(size=round(recipe.size * plan.scale))
        folder = plan.texts.make(f"size-{size}", recipe)
        for point in time_all(plan, f"{size} MB", ("forkfold", "pool-letters", "reads"),
                              plan.settings, folder):
            yield {"chart": "size", "x": recipe.size / MEGABYTE, **point}


def against_count(plan):
    for count in COUNTS:
        recipe = data.Recipe("broad", count, COUNT_MEGABYTES * MEGABYTE).scaled(plan.scale)
        folder = plan.texts.make(f"count-{count}", recipe)
        for point in time_all(plan, f"{count} files", ("forkfold", "pool-letters", "reads"),
                              plan.settings, folder):
            yield {"chart": "count", "x": recipe.files, **point}


CHARTS = {
    "workers": (against_workers, "Time against workers", "workers (10,000 files, 118 MB)"),
    "size": (against_size, "Time against input size", f"MB, in {SIZE_FILES} files"),
    "count": (against_count, "Time against the number of files",
              f"files, {COUNT_MEGABYTES} MB in all"),
}


def draw(points, title, label):
    """The chart of one list of measured points."""
    series = {}
    for point in points:
        series.setdefault(point["series"], []).append(
            svg.Point(point["x"], point["seconds"], point["low"], point["high"]))
    return svg.chart(title, label, {name: sorted(values) for name, values in series.items()})


def main():
    try:
        plan = bench.read_plan()
    except ValueError as problem:
        data.say(problem)
        return 2
    if not bench.build(plan):
        return 1
    folder = (Path(__file__).resolve().parent / "plots" if plan.scale == 1 and plan.built
              else plan.settings.cache / f"plots-{plan.scale:g}")
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"machine": measure.machine(plan.settings.workers), "forkfold": measure.commit(),
               "rounds": plan.rounds, "points": []}
    for name, (measured, title, label) in CHARTS.items():
        points = list(measured(plan))
        figures["points"] += points
        (folder / f"{name}.svg").write_text(draw(points, title, label), encoding="utf-8")
    (folder / "plots.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print("\n".join(str(folder / name) for name in [f"{chart}.svg" for chart in CHARTS]
                    + ["plots.json"]))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
