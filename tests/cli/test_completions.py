# SPDX-License-Identifier: Apache-2.0
"""What the shells offer after forkfold: all that there is, and nothing that there is not."""

import os
import re
import shutil
import subprocess

import pytest

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "front", "cli", "completions")
FILES = {
    "bash": os.path.abspath(os.path.join(FOLDER, "forkfold.bash")),
    "zsh": os.path.abspath(os.path.join(FOLDER, "_forkfold")),
    "fish": os.path.abspath(os.path.join(FOLDER, "forkfold.fish")),
}
LONG_OPTION = {
    "bash": r"--([a-z][a-z-]*)",
    "zsh": r"--([a-z][a-z-]*)",
    "fish": r" -l ([a-z][a-z-]*)",
}
# Prints what the completion function offers for the words in the arguments, one a line.  The last
# is the one at the cursor.
ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
complete -p forkfold >/dev/null || exit
_forkfold
[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\\n' "${COMPREPLY[@]}"
"""
# Options whose value follows a '=' or is left out: the word behind them is no value.
MAY_LACK_A_VALUE = ("stats",)
every_shell = pytest.mark.parametrize("shell", sorted(FILES))


def read(shell):
    with open(FILES[shell], encoding="utf-8") as file:
        return file.read()


@pytest.fixture
def offered_options(forkfold):
    """The long options of the help, with the values that they may have."""
    text = forkfold.words("--help").out.decode()
    found = re.findall(r"--([a-z][a-z-]*)(?:(?: |\[=)([a-z0-9]+(?:\|[a-z0-9]+)+))?", text)
    return {name: values.split("|") if values else [] for name, values in found}


def bash(*words, place=None):
    script = ["bash", "--norc", "--noprofile", "-c", ASK_BASH, "bash", FILES["bash"], *words]
    run = subprocess.run(script, cwd=place, capture_output=True, check=True, text=True)
    assert run.stderr == ""
    return run.stdout.splitlines()


@every_shell
def test_completions_know_every_option_and_no_other(offered_options, shell):
    assert set(re.findall(LONG_OPTION[shell], read(shell))) == set(offered_options)


@every_shell
def test_completions_know_the_values_of_every_choice(offered_options, shell):
    choices = {name: values for name, values in offered_options.items() if values}
    assert len(choices) >= 7
    for name, values in choices.items():
        lines = read(shell).splitlines()
        assert any(name in line and " ".join(values) in line for line in lines)


@every_shell
def test_completions_are_well_formed(shell):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([program, "-n", FILES[shell]], check=True)


def test_bash_offers_the_commands():
    assert bash("forkfold", "") == ["words", "help", "-h", "--help", "-V", "--version"]
    assert bash("forkfold", "w") == ["words"]
    assert bash("forkfold", "--v") == ["--version"]
    assert bash("forkfold", "help", "") == ["words", "help"]
    assert bash("forkfold", "help", "words", "") == []
    assert bash("forkfold", "xyzzy", "") == []


def test_bash_offers_all_options(offered_options):
    long_ones = [word for word in bash("forkfold", "words", "-") if word.startswith("--")]
    assert sorted(long_ones) == sorted("--" + name for name in offered_options)
    assert bash("forkfold", "words", "--re") == ["--recursive", "--retries"]
    assert bash("forkfold", "words", "-r", "texts", "--fo") == ["--format"]


def test_bash_offers_the_values_of_every_choice(offered_options):
    for name, values in offered_options.items():
        if not values:
            continue
        option = "--" + name
        if name not in MAY_LACK_A_VALUE:
            assert bash("forkfold", "words", option, "") == values
            assert bash("forkfold", "words", option, values[-1][:2]) == [values[-1]]
        assert bash("forkfold", "words", option, "=") == values
        assert bash("forkfold", "words", option, "=", values[0]) == [values[0]]
        # As a bash gives it that does not part words at '='.
        assert bash("forkfold", "words", f"{option}=") == [f"{option}={it}" for it in values]


@pytest.fixture
def place(tmp_path):
    """A folder with a file and a folder."""
    (tmp_path / "a b.txt").touch()
    (tmp_path / "around").mkdir()
    (tmp_path / "--odd").touch()
    return tmp_path


@pytest.mark.parametrize("before", [[], ["-r"], ["--stats"], ["-q", "other"], ["--rule", "plain"],
                                    ["-o"], ["--output"], ["--output", "="], ["--failures"],
                                    ["--files-from"], ["--top", "3"]])  # fmt: skip
def test_bash_offers_files_and_folders(place, before):
    found = bash("forkfold", "words", *before, "a", place=place)
    assert sorted(found) == ["a b.txt", "around"]


def test_bash_offers_no_options_after_their_end(place):
    assert bash("forkfold", "words", "--", "--", place=place) == ["--odd"]
    assert "--output" in bash("forkfold", "words", "--", place=place)


@pytest.mark.parametrize("option", ["-j", "--workers", "--glob", "--top", "--timeout", "--split",
                                    "--memory"])  # fmt: skip
def test_bash_offers_nothing_where_it_cannot_know(place, option):
    assert bash("forkfold", "words", option, "", place=place) == []
    assert bash("forkfold", "words", option, "=", "", place=place) == []
