# SPDX-License-Identifier: Apache-2.0
"""The texts that are counted: what they are, and where they lie between two runs."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
SEED = 1
SKEW_FILES = 100
GROWTH = 10

# Contraction of a * b + c would make the generator's arithmetic depend on the processor.
COMPILE = ["cc", "-std=gnu11", "-O2", "-D_GNU_SOURCE", "-ffp-contract=off"]
TOOLS = {"generate": ["generate.c", "vocabulary.c"], "reads": ["reads.c"],
         "own": ["calls/own.c"], "items": ["calls/items.c"], "home": ["calls/home.c"],
         "processes": ["calls/processes.c"], "openblas": ["calls/openblas.c"],
         "primesieve": ["calls/primesieve.c"]}
HEADERS = ["vocabulary.h", "calls/calls.h", "calls/library.h"]


def say(*words):
    print("forkfold bench:", *words, file=sys.stderr, flush=True)


def cache_folder():
    """Where texts, small tools and Python packages are kept: outside of the source tree."""
    named = os.environ.get("BENCH_CACHE")
    if named:
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "forkfold-bench"


def fingerprint(names):
    """Changes with the content of the files."""
    sources = hashlib.sha256()
    for name in names:
        sources.update((HERE / name).read_bytes())
    return sources.hexdigest()


def build_tool(folder, name, flags=(), mark=""):
    """Compiles one of the C programs unless that has been done; returns its path.  The mark changes
    with what the flags name."""
    sources = TOOLS[name]
    mark += fingerprint([*sources, *HEADERS, "data.py"])[:16]
    program = folder / f"{name}-{mark}"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{name}-{os.getpid()}"
        subprocess.run([*COMPILE, "-o", unfinished, *(HERE / source for source in sources),
                        *flags, "-lm"], check=True)
        unfinished.rename(program)
    return program


class Recipe(NamedTuple):
    """What the generator is asked for; see generate.c."""

    language: str
    files: int
    size: int  # bytes, of all files
    exact: bool = False

    def scaled(self, scale):
        """Smaller texts of the same kind; one file stays one file."""
        files = max(1, round(self.files * scale))
        return self._replace(files=files, size=max(400, round(self.size * scale)))

    def write(self, generator, folder):
        folder.mkdir(parents=True)
        subprocess.run([generator, self.language, folder, str(SEED), str(self.files),
                        str(self.size), *(["exact"] if self.exact else [])], check=True)


def write_tiny(recipe, generator, folder):
    """Scaling must leave 100 bytes a file."""
    recipe._replace(size=100 * recipe.files).write(generator, folder)


def cut(text, sizes, folder):
    """Writes one text as files of about these sizes, cut after white space."""
    folder.mkdir(parents=True)
    start = 0
    for number, size in enumerate(sizes):
        end = len(text)
        if number + 1 < len(sizes):
            end = text.find(b"\n", min(len(text), start + size)) + 1 or len(text)
        (folder / f"{number:06}.txt").write_bytes(text[start:end])
        start = end


def write_skew(recipe, generator, folder):
    """The same bytes twice: "one" has a file with nine tenths of them, "even" files of one size."""
    recipe.write(generator, folder / "whole")
    text = next((folder / "whole").iterdir()).read_bytes()
    shutil.rmtree(folder / "whole")
    rest = len(text) // 10 // (SKEW_FILES - 1)
    # The large one lies in the middle, so that its name gives no hint.
    sizes = [rest] * SKEW_FILES
    sizes[SKEW_FILES // 2] = len(text) * 9 // 10
    cut(text, sizes, folder / "one")
    cut(text, [len(text) // SKEW_FILES] * SKEW_FILES, folder / "even")


def write_growth(recipe, generator, folder):
    """A set, and ten times its bytes with the same words: each file copied ten times."""
    recipe.write(generator, folder / "small")
    (folder / "large").mkdir()
    for file in sorted((folder / "small").iterdir()):
        for copy in range(GROWTH):
            shutil.copyfile(file, folder / "large" / f"{copy}-{file.name}")


SETS = {
    "many": (Recipe("broad", 10_000, 118_000_000), Recipe.write),
    "big": (Recipe("english", 1, 430_000_000), Recipe.write),
    "scripts": (Recipe("scripts", 100, 100_000_000), Recipe.write),
    "tiny": (Recipe("english", 100_000, 10_000_000, exact=True), write_tiny),
    "skew": (Recipe("english", 1, 118_000_000), write_skew),
    "start": (Recipe("english", 1, 1_000, exact=True), Recipe.write),
    "million": (Recipe("english", 1, 5_260_000), Recipe.write),
    "growth": (Recipe("english", 430, 43_000_000), write_growth),
}


class Texts:
    """The generated texts of one scale."""

    def __init__(self, cache, scale):
        self.folder = cache / f"texts-{scale:g}"
        self.tools = cache / "tools"
        self.scale = scale

    def get(self, name):
        """The folder of a set, generated unless it lies there already."""
        recipe, write = SETS[name]
        if name != "start":
            recipe = recipe.scaled(self.scale)
        return self.make(name, recipe, write)

    def make(self, name, recipe, write=Recipe.write):
        target = self.folder / name
        stamp = self.folder / f"{name}.stamp"
        sources = fingerprint([*TOOLS["generate"], *HEADERS, "data.py"])
        content = f"{recipe} {SEED} {sources}\n"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == content:
            return target
        say(f"generates {target}")
        stamp.unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        write(recipe, build_tool(self.tools, "generate"), target)
        # Written back later, they would disturb what is measured.
        os.sync()
        stamp.write_text(content, encoding="utf-8")
        return target
