# SPDX-License-Identifier: Apache-2.0
"""The library as its users get it: installed, found by pkg-config, with examples and manual pages."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

import running

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.c"))
PAGES = sorted((ROOT / "man").glob("*.3"))
HEADERS = sorted((ROOT / "include").rglob("*.h"))
EXAMPLE_LINES = 60
every_example = pytest.mark.parametrize("source", EXAMPLES, ids=lambda path: path.stem)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)

# What a manual page tells a user to type, with a place for the program.
COMPILE = 'cc -o "$0" "$1" $(pkg-config --cflags --libs forkfold)'

# Names in headers that a program does not use: include guards, and the mark of what is exported.
NO_CONSTANT = re.compile(r"FORKFOLD_([A-Z_]+_H|API)$")


class Installation(NamedTuple):
    """A folder that was empty before, and what finds the library there."""

    manual: Path
    environment: dict

    def build(self, source, program):
        """Compiles as a user would; anything that the compiler says is a failure."""
        run = subprocess.run(["sh", "-c", COMPILE, program, source], env=self.environment,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             check=False)
        assert (run.returncode, run.stdout) == (0, "")

    def run(self, program):
        """What the program prints, run where its paths are meant to be."""
        return subprocess.run([program], env=self.environment, cwd=ROOT, check=True, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              timeout=running.HANG_SECONDS).stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    place = tmp_path_factory.mktemp("installed")
    build = Path(running.RELEASE or running.BINARY).resolve().parent.parent.parent
    subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet",
                    "--destdir", place], check=True)
    [description] = place.rglob("forkfold.pc")
    [manual] = place.rglob("man")
    [library] = place.rglob("libforkfold.so")
    yield Installation(manual, {
        **os.environ,
        "LD_LIBRARY_PATH": str(library.parent),
        "PKG_CONFIG_LIBDIR": str(description.parent),
        "PKG_CONFIG_SYSROOT_DIR": str(place),
    })
    shutil.rmtree(place)


def unescape(text):
    """The text that a manual page's source shows."""
    return text.replace(r"\e", "\\").replace(r"\-", "-")


def names_of(page):
    """What the NAME section of a page says that it is about."""
    section = re.search(r"^\.Sh NAME\n(.*?)^\.Nd ", page.read_text(encoding="utf-8"), re.M | re.S)
    return re.findall(r"^\.Nm (\w+)", section.group(1), re.M)


def exported_functions():
    text = (ROOT / "src" / "forkfold.map").read_text(encoding="utf-8")
    return re.findall(r"^\s+(forkfold_\w+);", text, re.M)


def code_of(header):
    """A header without its comments."""
    return re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.S)


# ---- Examples ---------------------------------------------------------------


@every_example
def test_example_builds_with_pkg_config_alone_and_prints_what_is_expected(installed, tmp_path,
                                                                          source):
    program = tmp_path / source.stem
    installed.build(source, program)
    expected = ROOT / "examples" / "expected" / f"{source.stem}.txt"
    assert installed.run(program) == expected.read_text(encoding="utf-8")


@every_example
def test_example_is_short_and_in_the_table(source):
    assert len(source.read_text(encoding="utf-8").splitlines()) <= EXAMPLE_LINES
    table = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert f"`{source.name}`" in table


def test_programs_in_the_readme_build_and_run(installed, tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    programs = re.findall(r"^```c\n(.*?)^```$", readme, re.M | re.S)
    assert programs
    for number, program in enumerate(programs):
        source = tmp_path / f"readme{number}.c"
        source.write_text(program, encoding="utf-8")
        installed.build(source, source.with_suffix(""))
        assert installed.run(source.with_suffix("")) != ""


def test_program_in_the_manual_builds_and_says_what_takes_most_steps(installed, tmp_path):
    page = (ROOT / "man" / "forkfold.3").read_text(encoding="utf-8")
    [program] = re.findall(r"^(#include .*?)^\.Ed$", page, re.M | re.S)
    source = tmp_path / "manual.c"
    source.write_text(unescape(program), encoding="utf-8")
    installed.build(source, tmp_path / "manual")
    assert installed.run(tmp_path / "manual") == "837799 takes 524 steps\n"


# ---- Manual pages -----------------------------------------------------------


def test_every_function_is_the_name_of_one_manual_page():
    names = [name for page in PAGES for name in names_of(page)]
    assert sorted(set(names)) == sorted(names)
    assert set(exported_functions()) <= set(names)


@every_page
def test_names_of_a_manual_page_are_found_where_it_is_installed(installed, page):
    installed_page = installed.manual / "man3" / page.name
    assert page.stem in names_of(page)
    for name in names_of(page):
        found = installed.manual / "man3" / f"{name}.3"
        assert found.resolve() == installed_page.resolve(), name


def test_man_finds_every_function(installed):
    command = ["man", "-M", installed.manual, "-w", "3"]
    probe = subprocess.run([*command, "forkfold"], check=False, text=True,
                           stdout=subprocess.PIPE) if shutil.which("man") else None
    if probe is None or not probe.stdout.endswith("forkfold.3\n"):
        pytest.skip("man shows no pages here")
    functions = exported_functions()
    found = subprocess.run([*command, *functions], check=True, text=True, stdout=subprocess.PIPE)
    assert len(found.stdout.splitlines()) == len(functions)


def test_manual_pages_refer_to_pages_that_there_are():
    names = {name for page in PAGES for name in names_of(page)}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"^\.Xr (forkfold\w*) 3", text, re.M)) <= names, page.name


def test_constants_and_fields_of_the_headers_are_in_the_manual():
    manual = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    words = set(re.findall(r"\w+", manual))
    wanted = set()
    for header in map(code_of, HEADERS):
        wanted |= {name for name in re.findall(r"\bFORKFOLD_[A-Z][A-Z0-9_]*", header)
                   if not NO_CONSTANT.match(name)}
        for body in re.findall(r"typedef struct \w+ \{(.*?)^\} ", header, re.M | re.S):
            wanted |= set(re.findall(r"(\w+)(?:\[\w+\])?;", body))
            wanted |= set(re.findall(r"\(\*(\w+)\)", body))
    assert sorted(wanted - words) == []
