# SPDX-License-Identifier: Apache-2.0
"""What people see at a terminal: the table, the progress, Ctrl-C."""

import fcntl
import os
import pty
import select
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


def show(forkfold, terminal, *arguments, **options):
    """What the command writes to a terminal as its standard output."""
    run = forkfold.start("words", *arguments, stdout=terminal.line, **options)
    shown = terminal.read_all()
    return run.finish(), shown.decode().splitlines()


def table(words, width=5):
    return [f"{'count':>{width}}  word"] + [f"{count:>{width}}  {word}" for count, word in words]


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
    assert set(lines[1:7]) == {f"    1  {safe(word).decode()}" for word in words}
    assert not any(ord(character) < 0x20 for line in lines for character in line)


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_long_words_are_cut_to_the_width(forkfold, texts, columns):
    terminal = Terminal(columns)
    (texts / "a.txt").write_text("a" * 1000 + " " + "\u00e9" * (columns - 7), encoding="utf-8")
    _, lines = show(forkfold, terminal, "texts")
    terminal.close()
    assert lines[1] == "    1  " + "a" * (columns - 8) + "\u2026"
    assert lines[2] == "    1  " + "\u00e9" * (columns - 7)


def test_table_of_nothing_has_totals_only(forkfold, texts, terminal):
    run, lines = show(forkfold, terminal, "texts")
    assert lines == ["files     0", "words     0", "distinct  0", "bytes     0"]
    assert run.code == 0


@pytest.mark.parametrize("options, expected", [
    (["--format", "tsv"], "1\tword"),
    (["-o", "-"], "1\tword"),
    (["--format", "json"], '{"words":['),
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
