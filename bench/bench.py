#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Times Forkfold and its peers on the same texts, and prints one table.

usage: make bench [ROWS="id id"] [BENCH_DIR=folder] [BENCH_WORKERS=N]
                  [BENCH_ROUNDS=N] [BENCH_SCALE=0.01] [BENCH_BINARY=file]

bench/README.md says what is measured, how, and how to read the table.
"""

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import data
import measure
import programs
import record
import rows
import same

ROUNDS_LEAST = 5


class Plan(NamedTuple):
    """What this run is to do."""

    rows: list
    rounds: int
    scale: float
    own: str  # the folder of BENCH_DIR, or ""
    built: bool  # Forkfold is what this source makes, and not some BENCH_BINARY
    settings: programs.Settings
    texts: data.Texts


class Report:
    """What has come out so far."""

    def __init__(self):
        self.entries = []
        self.lines = {}  # by group, in order
        self.notes = []
        self.failed = False

    def skip(self, row, reason, failed=False):
        self.failed |= failed
        self.lines.setdefault(row.group(), []).append(
            (row.id, "", "", "failed" if failed else "skipped", "", "", "", "", row.peer))
        self.note(f"{row.id}: {'failed' if failed else 'skipped'}: {reason}")

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)


def number(name, default, convert, least):
    text = os.environ.get(name) or str(default)
    try:
        value = convert(text)
    except ValueError:
        value = None
    if value is None or value < least:
        raise ValueError(f"{name} must be a number of at least {least}: {text}")
    return value


def read_plan():
    """From the environment, as make passes it on.  Raises ValueError with what is wrong."""
    cache = data.cache_folder()
    scale = number("BENCH_SCALE", 1, float, 0.0001)
    own = os.environ.get("BENCH_DIR", "")
    if own and not Path(own).is_dir():
        raise ValueError(f"not a folder: {own}")
    known = rows.OWN_ROWS if own else rows.ROWS
    # Absolute, so that a name which begins with a hyphen is no option for the peers.
    own = str(Path(own).absolute()) if own else ""
    binary = os.environ.get("BENCH_BINARY", "")
    if binary and not os.access(binary, os.X_OK):
        raise ValueError(f"not a program: {binary}")
    settings = programs.Settings(
        number("BENCH_WORKERS", programs.available_cpus(), int, 1), cache,
        Path(binary).absolute() if binary else programs.ROOT / "build" / "forkfold")
    return Plan(rows.select(known, os.environ.get("ROWS", "").split()),
                number("BENCH_ROUNDS", ROUNDS_LEAST, int, 1), scale, own, not binary, settings,
                data.Texts(cache, scale))


def build(plan):
    """Brings Forkfold up to date; returns whether there is one to be measured."""
    if not plan.built:
        return True
    done = subprocess.run([programs.ROOT / "tools" / "build", "release"], check=False)
    if done.returncode != 0:
        data.say("Forkfold could not be built")
    return done.returncode == 0


def command_line(plan, row):
    """What repeats a row."""
    words = ["make", "bench", f"ROWS={row.id}"]
    if plan.own:
        words.append(f"BENCH_DIR={shlex.quote(plan.own)}")
    if plan.scale != 1:
        words.append(f"BENCH_SCALE={plan.scale:g}")
    if not plan.built:
        words.append(f"BENCH_BINARY={shlex.quote(str(plan.settings.binary))}")
    if plan.settings.workers != programs.available_cpus():
        words.append(f"BENCH_WORKERS={plan.settings.workers}")
    return " ".join(words)


# ---- One group: rows on the same texts ---------------------------------------------------------


def place(plan, side):
    """The folder of a side's texts."""
    if plan.own or not side.place:
        return plan.own
    name, _, part = side.place.partition("/")
    return str(plan.texts.get(name) / part) if part else str(plan.texts.get(name))


def find_commands(plan, group_rows, report):
    """{Side: Command} of the rows that can be measured here, and these rows."""
    commands, ready = {}, []
    for row in group_rows:
        try:
            if row.id == "big-scale" and programs.available_cpus() < 2:
                raise programs.Unavailable("needs two CPUs")
            for side in (row.ours, row.theirs):
                if side not in commands:
                    command = programs.PROGRAMS[side.program].command
                    commands[side] = command(plan.settings, place(plan, side))
            ready.append(row)
        except programs.Unavailable as problem:
            report.skip(row, problem)
    used = {side for row in ready for side in (row.ours, row.theirs)}
    return {side: command for side, command in commands.items() if side in used}, ready


class Reference:
    """Forkfold's results on one folder, in the forms that peers are compared with."""

    def __init__(self, plan, folder, scratch):
        self.plan = plan
        self.folder = folder
        self.scratch = scratch
        self.forms = {}

    def counts(self, question):
        if question not in self.forms:
            rule = "forkfold" if question == "letters" else "forkfold-plain"
            command = programs.PROGRAMS[rule].command(self.plan.settings, self.folder)
            path = os.path.join(self.scratch, "ours")
            measure.run_to_file(command, path)
            found = same.read_counts(path)
            self.forms[question] = (found if question == "letters"
                                    else same.lowered(found, question == "ascii"))
        return self.forms[question]


def check(plan, commands, report):
    """Compares the results of all peers that count the same words.  Returns {Side: why not}."""
    wrong, equal = {}, []
    with tempfile.TemporaryDirectory(prefix="forkfold-bench-") as scratch:
        references = {}
        for side, command in commands.items():
            question = programs.PROGRAMS[side.program].question
            if side.program.startswith("forkfold") or question is None:
                continue
            reference = references.setdefault(
                side.place, Reference(plan, place(plan, side), scratch))
            path = os.path.join(scratch, "theirs")
            try:
                ours = reference.counts(question)
                measure.run_to_file(command, path)
                problem = same.difference(ours, same.read_counts(path))
            except (measure.Failed, ValueError) as failure:
                wrong[side] = str(failure)
                continue
            if problem is None:
                equal.append(f"{side.program} ({question}: {sum(ours.values()):,} words, "
                             f"{len(ours):,} distinct)")
            elif plan.own:
                # Peers may know other white space or lower case; that is for the reader to judge.
                report.note(f"{side.program} counts a little differently: {problem}.")
            else:
                wrong[side] = f"another result: {problem}"
    if equal:
        group = next(iter(commands)).place.split("/")[0]
        report.note(f"{group}: Forkfold's result equals that of {', '.join(equal)}.")
    return wrong


def take_calls(plan, commands, ready, group):
    """The same for calls that the programs time themselves."""
    called = {side: command for side, command in commands.items()
              if any(row.is_called() and side in (row.ours, row.theirs) for row in ready)}
    times, digests, failed = measure.interleave_calls(
        called, plan.rounds, lambda done: data.say(f"{group}: round {done} of {plan.rounds}"))
    for row in ready:
        if row.is_called() and digests.get(row.ours) != digests.get(row.theirs):
            failed.setdefault(row.theirs, "another result")
    return {(side, row.quantity): times[side] for row in ready for side in (row.ours, row.theirs)
            if side in times}, failed


def take_samples(plan, commands, ready, group):
    """Times, and peak memory where a row asks for it: {(Side, quantity): samples}, {Side: why}."""
    reads = programs.PROGRAMS["reads"].command
    timed = {side: command for side, command in commands.items()
             if any(row.quantity == "time" and side in (row.ours, row.theirs) for row in ready)}
    # The system may have dropped texts from the page cache while the others ran.
    times, failed = measure.interleave(
        timed, plan.rounds, lambda side: measure.run(reads(plan.settings, place(plan, side))),
        lambda done: data.say(f"{group}: round {done} of {plan.rounds}"))
    samples, failed_calls = take_calls(plan, commands, ready, group)
    failed.update(failed_calls)
    samples.update({(side, "time"): values for side, values in times.items()})
    weighed = [side for row in ready if row.quantity == "memory" for side in (row.ours, row.theirs)]
    for _ in range(plan.rounds):
        for side in weighed:
            if side in failed:
                continue
            try:
                if (side, "memory") not in samples:
                    # So that no page cache is charged to what is weighed.
                    measure.run(commands[side])
                samples.setdefault((side, "memory"), []).append(
                    measure.peak_bytes(commands[side]))
            except measure.Failed as problem:
                failed[side] = str(problem)
    return samples, failed


def describe(quantity, samples):
    median = statistics.median(samples)
    if quantity == "memory":
        return f"{median / 2**20:.1f} MiB"
    if median < 0.001:
        return f"{1e6 * median:.1f} us"
    return f"{median:.3f} s" if median >= 0.1 else f"{1000 * median:.2f} ms"


def describe_ratio(row, value):
    if value is None:
        return ""
    return f"{100 * value:.3g} %" if row.quantity == "share" else f"{value:.3g} x"


def judge(plan, row, samples, report):
    """Makes the row's line and its entry."""
    ours, theirs = (samples[side, row.quantity] for side in (row.ours, row.theirs))
    ratio, spread = (measure.share(ours, theirs) if row.quantity == "share"
                     else measure.ratio(ours, theirs, row.sense))
    report.lines.setdefault(row.group(), []).append(
        (row.id, describe(row.quantity, ours), describe(row.quantity, theirs),
         describe_ratio(row, ratio), f"{100 * spread:.0f} %", describe_ratio(row, row.least),
         describe_ratio(row, row.goal), rows.verdict(row, ratio),
         {"share": "at most, beyond "}.get(row.quantity, "" if row.sense == "min" else "at most, of ")
         + row.peer))
    report.entries.append(record.entry(row, ratio, spread, command_line(plan, row)))
    if row.id == "growth-memory":
        report.note(f"growth-memory: {measure.memory_method()}; within 10 % either way is wanted.")


def measure_group(plan, group, group_rows, report):
    commands, ready = find_commands(plan, group_rows, report)
    if not ready:
        return
    problems = check(plan, commands, report)
    for side in problems:
        commands.pop(side)
    ready_to_time = [row for row in ready
                     if row.ours not in problems and row.theirs not in problems]
    samples, failed = take_samples(plan, commands, ready_to_time, group)
    problems.update(failed)
    for row in ready:
        side = next((side for side in (row.ours, row.theirs) if side in problems), None)
        if side is not None:
            report.skip(row, f"{side.program}: {problems[side]}", failed=True)
        else:
            judge(plan, row, samples, report)


# ---- The table ----------------------------------------------------------------------------


HEAD = ("row", "Forkfold", "peer", "ratio", "spread", "least", "goal", "met", "peer is")


def format_table(plan, report):
    lines = []
    works = {}
    for row in plan.rows:
        works.setdefault(row.group(), plan.own or row.work)
    everything = [HEAD] + [line for group in report.lines.values() for line in group]
    widths = [max(len(line[column]) for line in everything) for column in range(len(HEAD))]

    def put(line):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:7], widths[1:7])]
        cells += [line[7].ljust(widths[7]), line[8]]
        lines.append("  ".join(cells).rstrip())

    put(HEAD)
    for group, group_lines in report.lines.items():
        size = f" (scaled by {plan.scale:g})" if plan.scale != 1 and not plan.own else ""
        lines.append(f"-- {works[group]}{size}")
        for line in group_lines:
            put(line)
    return lines


def foot(plan, report):
    first = plan.rows[0]
    lines = [
        f"Medians of {plan.rounds} round{'s' * (plan.rounds != 1)}, all programs in turn in each; "
        "output to /dev/null, warm cache.",
        "spread: largest less smallest ratio of a round, as a part of the ratio.  Rows \"at most, "
        "of\": Forkfold's time / the other's, less is better.",
        "least and goal are set for two workers.  met: the goal, at least the least, or no.",
        f"A row again: make bench ROWS=id, as in: {command_line(plan, first)}",
    ]
    return lines + report.notes


def results_path(plan):
    """Only figures of this source and of the full texts go where others look for them."""
    if plan.own or not plan.built:
        return None
    if plan.scale == 1:
        return Path(__file__).resolve().parent / "results.json"
    return plan.settings.cache / f"results-{plan.scale:g}.json"


def main():
    try:
        plan = read_plan()
    except ValueError as problem:
        data.say(problem)
        return 2
    if not build(plan):
        return 1
    report = Report()
    head = measure.machine(plan.settings.workers)
    groups = {}
    for row in plan.rows:
        groups.setdefault(row.group(), []).append(row)
    path = results_path(plan)
    for group, group_rows in groups.items():
        measure_group(plan, group, group_rows, report)
        # Now, so that a run which is broken off keeps what it has.
        if path is not None:
            record.update(path, report.entries)
    print(f"machine: {head}")
    ours = measure.commit() if plan.built else plan.settings.binary
    print(f"Forkfold {ours}; {', '.join(programs.versions(plan.settings))}\n")
    print("\n".join(format_table(plan, report)), end="\n\n")
    print("\n".join(foot(plan, report)))
    if path is not None:
        data.say(f"results in {path}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
