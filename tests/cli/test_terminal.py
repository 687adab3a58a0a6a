# SPDX-License-Identifier: Apache-2.0
"""What people see at a terminal: the table, the progress, Ctrl-C."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios

import pytest
import running
from expected import safe


class Terminal:
    """A terminal of the test's own."""

    def __init__(self, columns=80):
        self.screen, self.line = pty.openpty()
        fcntl.ioctl(self.line, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.shown = b""

    def read_some(self):
        """Reads on; false when nobody has the terminal open any more."""
        running.wait_for_event(self.screen, select.POLLIN | select.POLLHUP, "the terminal")
        try:
            data = os.read(self.screen, 65536)
        except OSError:
            data = b""
        self.shown += data
        return data != b""

    def read_until(self, text):
        while text not in self.shown:
            assert self.read_some(), self.shown

    def read_all(self):
        self.release()
        while self.read_some():
            pass
        # As the terminal got it, before it moved to the start of each line by itself.
        return self.shown.replace(b"\r\n", b"\n")

    def type(self, keys):
        os.write(self.screen, keys)

    def release(self):
        """Leaves the line to the command."""
        if self.line >= 0:
            os.close(self.line)
        self.line = -1

    def close(self):
        self.release()
        os.close(self.screen)


@pytest.fixture
def terminal():
    opened = Terminal()
    yield opened
    opened.close()


def take_terminal():
    """Makes standard error the controlling terminal of a new session."""
    os.setsid()
    fcntl.ioctl(2, termios.TIOCSCTTY, 0)


# A terminal that can do nothing but show ASCII, and one that can do everything.
PLAIN = {"LC_ALL": "C", "NO_COLOR": "1", "TERM": "xterm"}
RICH = {"LC_ALL": "C.UTF-8", "NO_COLOR": "", "TERM": "xterm"}


def show(forkfold, terminal, *arguments, environment=None, **options):
    """What the command writes to a terminal as its standard output."""
    run = forkfold.start("words", *arguments, stdout=terminal.line,
                         environment={**PLAIN, **(environment or {})}, **options)  # fmt: skip
    shown = terminal.read_all()
    return run.finish(), shown.decode().splitlines()


def table(words, width=5, columns=80):
    """With a bar for every word, as wide as there is room for, and at most 60 columns."""
    longest = max([4] + [len(word) for _, word in words])
    most = words[0][0]
    full = min(columns - width - 4 - longest, 60)
    lines = [f"{'count':>{width}}  word"]
    for count, word in words:
        bar = "#" * ((2 * count * full + most) // (2 * most))
        lines.append(f"{count:>{width}}  {word:<{longest}}  {bar}".rstrip())
    return lines


def without_bar(line):
    return line.rstrip("#").rstrip(" ")


def test_terminal_gets_a_table_of_the_twenty_most_frequent_words(forkfold, texts, terminal):
    text = " ".join((f"w{chr(97 + number)} " * (100 - number)) for number in range(26))
    (texts / "a.txt").write_text(text)
    run, lines = show(forkfold, terminal, "texts")
    words = [(100 - number, f"w{chr(97 + number)}") for number in range(20)]
    assert lines == table(words) + [
        "",
        "files     1",
        "words     2275",
        "distinct  26 (20 shown; --top 0 shows all)",
        f"bytes     {len(text)} ({len(text) / 1024 - 0.05:.1f} KiB)",
    ]
    assert run.code == 0
    assert run.err.startswith(b"forkfold: 1 file, ")


def test_table_of_counts_that_went_to_disk_is_the_same(forkfold, texts, terminal):
    """It reads the result twice: once for the widths, once for the lines."""
    words = " ".join(f"word{number}" for number in range(60000))
    (texts / "a.txt").write_text(f"{words} {'often ' * 99} {'sometimes ' * 33}", encoding="ascii")
    run, lines = show(forkfold, terminal, "--memory", "1M", "--rule", "plain", "--top", "4",
                      "texts")  # fmt: skip
    shown = [(99, "often"), (33, "sometimes"), (1, "word0"), (1, "word1")]
    assert lines[:5] == table(shown)
    assert lines[8] == "distinct  60002 (4 shown; --top 0 shows all)"
    assert run.code == 0 and b" spilled to disk" in run.err


def test_short_table_has_no_hint(forkfold, texts, terminal):
    (texts / "a.txt").write_bytes(b"b a b")
    _, lines = show(forkfold, terminal, "texts")
    assert lines == table([(2, "b"), (1, "a")]) + [
        "", "files     1", "words     3", "distinct  2", "bytes     5",
    ]  # fmt: skip


@pytest.mark.parametrize("options, shown", [(["--top", "1"], 1), (["--top", "0"], 30),
                                            (["--top", "25"], 25)])  # fmt: skip
def test_top_sets_the_length_of_the_table(forkfold, texts, options, shown):
    terminal = Terminal()
    (texts / "a.txt").write_text(" ".join("x" * (number + 1) for number in range(30)))
    _, lines = show(forkfold, terminal, *options, "texts")
    terminal.close()
    assert lines.index("") == shown + 1


def test_min_count_is_no_cut_at_the_top(forkfold, texts, terminal):
    (texts / "a.txt").write_bytes(b"a a b b c")
    _, lines = show(forkfold, terminal, "--min-count", "2", "texts")
    assert "distinct  3 (2 shown)" in lines


def test_wide_counts_widen_the_column(forkfold, texts, terminal):
    (texts / "a.txt").write_bytes(b"a " * 1234567 + b"b")
    _, lines = show(forkfold, terminal, "texts")
    assert lines[:3] == table([(1234567, "a"), (1, "b")], 7)


def test_controls_in_words_are_escaped(forkfold, texts, terminal):
    words = [b"\x1b[31mred", b"bell\x07", b"nul\0", b"\xc2\x9b2J", b"\xe2\x80\xaertl", b"del\x7f"]
    (texts / "a.txt").write_bytes(b" ".join(words))
    _, lines = show(forkfold, terminal, "--rule", "plain", "texts")
    assert set(map(without_bar, lines[1:7])) == {f"    1  {safe(word).decode()}" for word in words}
    assert not any(ord(character) < 0x20 for line in lines for character in line)


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_long_words_are_cut_to_the_width(forkfold, texts, columns):
    terminal = Terminal(columns)
    (texts / "a.txt").write_text("a" * 1000 + " " + "\u00e9" * (columns - 7), encoding="utf-8")
    _, lines = show(forkfold, terminal, "texts")
    terminal.close()
    assert lines[1] == "    1  " + "a" * (columns - 8) + "\u2026"
    assert lines[2] == "    1  " + "\u00e9" * (columns - 7)


@pytest.mark.parametrize("columns", [30, 40, 57, 80, 81, 200])
def test_bars_fit_the_width(forkfold, texts, columns):
    terminal = Terminal(columns)
    words = [(1000, "a"), (500, "word"), (8, "elsewhere"), (1, "z")]
    (texts / "a.txt").write_text(" ".join(f"{word} " * count for count, word in words))
    _, lines = show(forkfold, terminal, "texts")
    terminal.close()
    assert lines[:5] == table(words, 5, columns)
    assert lines[1].endswith("##########") and lines[4] == "    1  z"


@pytest.mark.parametrize("columns", [2, 5, 10, 20, 22])
def test_narrow_terminal_has_no_bars(forkfold, texts, columns):
    terminal = Terminal(columns)
    (texts / "a.txt").write_text("word word a")
    run, lines = show(forkfold, terminal, "texts")
    terminal.close()
    assert run.code == 0
    assert lines[0] == "count  word"
    assert not any("#" in line for line in lines)


def test_long_word_does_not_cost_the_others_their_bars(forkfold, texts, terminal):
    (texts / "a.txt").write_text("a b " * 3 + "x" * 60)
    _, lines = show(forkfold, terminal, "texts")
    assert lines[1:4] == table([(3, "a"), (3, "b")])[1:] + ["    1  " + "x" * 60]


def test_bars_are_exact_to_an_eighth_of_a_column(forkfold, texts, terminal):
    counts = [480, 476, 475, 84, 83, 81, 9, 8, 7, 1]
    (texts / "a.txt").write_text(" ".join(f"{chr(97 + i)} " * n for i, n in enumerate(counts)))
    _, lines = show(forkfold, terminal, "texts", environment={**RICH, "NO_COLOR": "1"})
    bars = [line[len("count  word  "):] for line in lines[1:11]]
    parts = ["", "\u258f", "\u258e", "\u258d", "\u258c", "\u258b", "\u258a", "\u2589"]
    assert bars == ["\u2588" * (count // 8) + parts[count % 8] for count in counts]


def test_wide_characters_keep_the_bars_aligned(forkfold, texts, terminal):
    """Two columns for a CJK character, none for a combining mark."""
    words = {"\u65e5\u672c\u8a9e": 6, "caf\u0065\u0301": 4, "\uff57\uff49": 4, "plain": 5}
    (texts / "a.txt").write_text(" ".join(f"{word} " * 7 for word in words), encoding="utf-8")
    _, lines = show(forkfold, terminal, "--rule", "plain", "texts",
                    environment={**RICH, "NO_COLOR": "1"})  # fmt: skip
    bar = "\u2588" * 60
    assert set(lines[1:5]) == {
        f"    7  {word}{' ' * (6 - columns)}  {bar}" for word, columns in words.items()
    }


def test_colours_are_for_terminals_that_have_them(forkfold, texts, terminal):
    (texts / "a.txt").write_bytes(b"word")
    _, lines = show(forkfold, terminal, "texts", environment=RICH)
    assert lines[0] == "\x1b[1mcount  word\x1b[0m"
    assert lines[1] == "    1  word  \x1b[36m" + "\u2588" * 60 + "\x1b[0m"
    assert "\x1b" not in "".join(lines[2:])


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}])
def test_colours_can_be_refused(forkfold, texts, environment):
    terminal = Terminal()
    (texts / "a.txt").write_bytes(b"word")
    _, lines = show(forkfold, terminal, "texts", environment={**RICH, **environment})
    terminal.close()
    assert "\x1b" not in "".join(lines)
    assert lines[1] == "    1  word  " + "\u2588" * 60


@pytest.mark.parametrize("options", [["-o", "-"], ["--format", "tsv"], ["--format", "csv"]])
def test_formats_for_programs_have_no_colours(forkfold, texts, options):
    terminal = Terminal()
    (texts / "a.txt").write_bytes(b"word")
    _, lines = show(forkfold, terminal, *options, "texts", environment=RICH)
    terminal.close()
    assert "\x1b" not in "".join(lines)


def test_locale_that_is_not_there_is_none(forkfold, texts, terminal):
    (texts / "a.txt").write_bytes(b"word")
    _, lines = show(forkfold, terminal, "texts", environment={"LC_ALL": "xx_XX.UTF-8"})
    assert lines[:2] == table([(1, "word")])


def test_table_of_nothing_has_totals_only(forkfold, texts, terminal):
    run, lines = show(forkfold, terminal, "texts")
    assert lines == ["files     0", "words     0", "distinct  0", "bytes     0"]
    assert run.code == 0


@pytest.mark.parametrize("options, expected", [
    (["--format", "tsv"], "1\tword"),
    (["-o", "-"], "1\tword"),
    (["--format", "csv"], "count,word"),
    (["--format", "json"], '{"words":['),
    (["--format", "ndjson"], '{"count":1,"word":"word"}'),
])
def test_format_that_is_asked_for_is_given_on_a_terminal_too(forkfold, texts, options, expected):
    terminal = Terminal()
    (texts / "a.txt").write_bytes(b"word")
    _, lines = show(forkfold, terminal, *options, "texts")
    terminal.close()
    assert lines[0].expandtabs() == expected.expandtabs()


def test_output_to_a_file_leaves_the_terminal_empty(forkfold, texts, terminal):
    (texts / "a.txt").write_bytes(b"word")
    _, lines = show(forkfold, terminal, "-o", "out", "texts", creates=["out"])
    assert lines == []


def test_progress_is_drawn_while_it_counts_and_removed_at_the_end(forkfold, texts, terminal):
    (texts / "a.txt").write_bytes(b"word")
    run, held = forkfold.start_held("words", "-", "texts", stderr=terminal.line)
    terminal.read_until(b"/2 files, ")
    held.close()
    terminal.read_all()
    drawn = terminal.shown.rpartition(b"forkfold: ")[0]
    assert drawn.endswith(b"\r")
    # The last thing drawn is blank, and as wide as the line before.
    pictures = [picture for picture in drawn.split(b"\r") if picture]
    assert pictures[-1].strip() == b""
    assert len(pictures[-1]) >= len(pictures[-2].rstrip())
    assert b"files, " in pictures[-2]
    assert run.finish().out == b"1\tword\n"


@pytest.mark.parametrize("options", [["--progress", "never"], ["-q"]])
def test_progress_is_not_drawn_when_it_is_not_wanted(forkfold, texts, options):
    terminal = Terminal()
    run, held = forkfold.start_held("words", *options, "--deadline", "1s", "-",
                                    stderr=terminal.line)  # fmt: skip
    shown = terminal.read_all()
    held.close()
    assert run.finish().code == 3
    terminal.close()
    assert b"\r" not in shown
    assert shown.startswith(b"forkfold: ")


def test_progress_is_not_drawn_into_a_pipe(forkfold):
    run, held = forkfold.start_held("words", "--deadline", "1s", "-")
    result = run.finish()
    held.close()
    assert result.err.count(b"\n") == 2 and b"\r" not in result.err


def test_progress_that_is_always_wanted_comes_in_lines(forkfold):
    run, held = forkfold.start_held("words", "--progress", "always", "-")
    running.wait_for_event(run.process.stderr.fileno(), select.POLLIN, "a line of progress")
    line = run.process.stderr.readline()
    held.close()
    assert run.finish().code == 0
    assert line.startswith(b"forkfold: 0/1 files, ") and line.endswith(b" failed\n")
    assert all(0x20 <= byte < 0x7F for byte in line[:-1])


@pytest.fixture
def stuck(forkfold, texts):
    """A function that starts a run which hangs in one of three files."""
    (texts / "good.txt").write_bytes(b"word" * 25)
    (texts / "stuck.txt").write_bytes(b"word" * 25)
    (texts / "bad.txt").write_bytes(b"\xff")
    runs = []

    def start(*arguments, **options):
        run = forkfold.start("words", *arguments, "texts",
                             environment={"FORKFOLD_FAULT": "hang:begin:*/stuck.txt"},
                             **options)  # fmt: skip
        runs.append(run)
        return run

    yield start
    for run in runs:
        run.signal(signal.SIGTERM)
        assert run.finish().code == 143


def test_progress_tells_how_much_is_done_once_the_search_is_over(stuck, terminal):
    stuck(stderr=terminal.line)
    terminal.read_until(b"%, ")
    picture = terminal.shown[terminal.shown.rindex(b"\r", 0, terminal.shown.index(b"%, ")) + 1:]
    assert re.match(rb"\d/3 files, \d+ B of 201 B, \d+%, ", picture)


def test_progress_of_a_stream_promises_nothing(forkfold, texts, terminal):
    """Nobody knows how much is still to come."""
    (texts / "a.txt").write_bytes(b"word")
    run, held = forkfold.start_held("words", "-", "texts", stderr=terminal.line)
    held.feed(b"word")
    terminal.read_until(b"/2 files, ")
    terminal.read_until(b" failed")
    held.close()
    terminal.read_all()
    assert run.finish().code == 0
    assert b"%" not in terminal.shown and b"left" not in terminal.shown


@pytest.mark.parametrize("columns", [2, 10, 40, 79])
def test_progress_never_wraps(forkfold, texts, columns):
    terminal = Terminal(columns)
    run, held = forkfold.start_held("words", "-", "texts", stderr=terminal.line)
    terminal.read_until(b"\r0/1 files, "[:columns])
    held.close()
    drawn = terminal.read_all().rpartition(b"forkfold: ")[0]
    terminal.close()
    assert run.finish().code == 0
    assert max(map(len, drawn.split(b"\r"))) < columns


def test_progress_names_what_is_tried_again(forkfold, texts, terminal):
    (texts / "bad.txt").write_bytes(b"word")
    run, held = forkfold.start_held("words", "-j", "2", "--retries", "1", "-", "texts",
                                    environment={"FORKFOLD_FAULT": "exit:begin:*/bad.txt"},
                                    stderr=terminal.line)  # fmt: skip
    terminal.read_until(b" failed, 1 retried, 2 workers died")
    held.close()
    terminal.read_all()
    assert run.finish().code == 1


@pytest.mark.parametrize("progress", ["never", "always"])
def test_verbose_run_tells_of_deaths_as_they_happen(forkfold, texts, terminal, progress):
    (texts / "bad.txt").write_bytes(b"word")
    fault = {"FORKFOLD_FAULT": "exit:begin:*/bad.txt"}
    run, held = forkfold.start_held("words", "-v", "--progress", progress, "--retries", "0", "-",
                                    "texts", stderr=terminal.line, environment=fault)
    terminal.read_until(b"forkfold: 1 worker died so far, 0 inputs tried again\r\n")
    held.close()
    terminal.read_all()
    assert run.finish().code == 1
    assert terminal.shown.count(b"died so far") == 1


def test_interrupt_key_ends_the_run(forkfold, texts, terminal):
    run, held = forkfold.start_held("words", "-", "texts", "-o", "out", stderr=terminal.line,
                                    preexec_fn=take_terminal)  # fmt: skip
    held.feed(b"word")
    terminal.type(b"\x03")
    shown = terminal.read_all()
    assert run.finish().code == 130
    held.close()
    assert b"interrupted" in shown and b"no result was written" in shown


def test_background_run_draws_no_progress(forkfold, terminal):
    run, held = forkfold.start_held("words", "--deadline", "1s", "-", stderr=terminal.line,
                                    prefix=["sh", "-mc", '"$@" & wait $!', "sh"],
                                    preexec_fn=take_terminal)  # fmt: skip
    shown = terminal.read_all()
    assert run.finish().code == 3
    held.close()
    assert b"\r" not in shown and b"deadline" in shown
