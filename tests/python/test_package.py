# SPDX-License-Identifier: Apache-2.0
"""The package as it is installed: its types, its symbols, its command."""

import ast
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

import forkfold
from forkfold import _native


def test_version_is_that_of_the_distribution():
    assert forkfold.__version__ == importlib.metadata.version("forkfold")


def test_public_names_are_there():
    assert all(getattr(forkfold, name) is not None for name in forkfold.__all__)


def test_stub_tells_of_the_names_that_there_are():
    stub = ast.parse(Path(forkfold.__file__).with_suffix(".pyi").read_text())
    homes = {name.asname or name.name: node.module.removeprefix("forkfold.")
             for node in stub.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert homes == forkfold._HOMES
    (listed,) = [ast.literal_eval(node.value) for node in stub.body if isinstance(node, ast.Assign)]
    assert sorted(listed) == forkfold.__all__ and {*forkfold.__all__} <= {*dir(forkfold)}


def run_python(source, *arguments):
    return subprocess.run([sys.executable, "-c", source, *arguments], capture_output=True,
                          text=True, check=False, timeout=100)


def test_counting_words_imports_no_more_than_it_needs(tmp_path):
    (tmp_path / "a.txt").write_text("b a b")
    done = run_python("import sys, forkfold\n"
                      "print(forkfold.count_words(sys.argv[1]).most_common())\n"
                      "print({'pickle', 'multiprocessing', 'threading', 'logging'} & {*sys.modules})",
                      tmp_path)
    assert (done.stdout, done.stderr) == ("[('b', 2), ('a', 1)]\nset()\n", "")


def test_errors_are_there_though_nothing_was_imported_that_raises_them(tmp_path):
    for number in range(1000):
        (tmp_path / f"{number}.txt").write_text("b a b" * 100)
    done = run_python("import sys, forkfold\n"
                      "try:\n"
                      "    forkfold.count_words(sys.argv[1], deadline=1e-9)\n"
                      "except forkfold.DeadlineExceeded as error:\n"
                      "    print(type(error).__name__)\n", tmp_path)
    assert (done.stdout, done.stderr) == ("DeadlineExceeded\n", "")


def test_names_that_are_not_there_are_missed():
    with pytest.raises(AttributeError, match="'forkfold' has no attribute 'Poool'"):
        _ = forkfold.Poool


def check_types(tmp_path, source):
    program = tmp_path / "program.py"
    program.write_text(source)
    return subprocess.run([sys.executable, "-m", "mypy", "--strict", "--no-incremental",
                           f"--cache-dir={os.devnull}", program], capture_output=True, text=True,
                          check=False, cwd=tmp_path, timeout=300)


def test_types_are_strict_and_tell_results(tmp_path):
    pytest.importorskip("mypy")
    done = check_types(tmp_path, """
import forkfold
from concurrent.futures import Future

def length(text: str) -> int:
    return len(text)

with forkfold.Pool(2) as pool:
    numbers: list[int] = pool.map(length, ["a", "b"])
    number: int = pool.apply(length, ("a",))
    later: forkfold.AsyncResult[int] = pool.apply_async(length, ("a",))
    for one in pool.imap(length, ["a"]):
        number += one
with forkfold.Executor(2) as executor:
    future: Future[int] = executor.submit(length, "a")
total: int = forkfold.ParallelDataProcessor(2).process_directory(".", length, int.__add__, 0)
with forkfold.OptimizedParallelProcessor(2, timeout=1.0, verbose=True) as processor:
    primes: list[int] = processor.parallel_find_primes(10)
    seconds: float = processor.metrics["total_time"]
""")
    assert done.returncode == 0, done.stdout
    done = check_types(tmp_path, """
import forkfold
words: list[str] = forkfold.Pool(2).map(len, ["a"])
""")
    assert done.returncode == 1 and "incompatible type" in done.stdout.lower()


def test_package_itself_is_strictly_typed(tmp_path):
    pytest.importorskip("mypy")
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports",
                           f"--cache-dir={os.devnull}", "-p", "forkfold"], capture_output=True,
                          text=True, check=False, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout


def test_extension_shows_nothing_but_its_initialisation():
    done = subprocess.run(["nm", "--dynamic", "--defined-only", _native.__file__],
                          capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["PyInit__native"]


def test_extension_is_of_the_library_that_it_is_installed_with():
    done = subprocess.run(["ldd", _native.__file__], capture_output=True, text=True, check=True)
    assert "libforkfold" not in done.stdout


def test_module_is_the_command(tmp_path):
    (tmp_path / "words.txt").write_text("one two two")
    done = subprocess.run([sys.executable, "-m", "forkfold", "words", "-q", tmp_path],
                          capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout) == (0, "2\ttwo\n1\tone\n")
    done = subprocess.run([sys.executable, "-m", "forkfold", "nonsense"], capture_output=True,
                          text=True, check=False, timeout=100)
    assert done.returncode == 2 and "nonsense" in done.stderr


def test_opening_a_pool_leaves_no_thread_behind():
    done = subprocess.run([sys.executable, "-c",
                           "import threading, forkfold\n"
                           "with forkfold.Pool(2) as pool:\n"
                           "    pool.map(abs, range(100)); pool.apply(abs, (1,))\n"
                           "    list(pool.imap(abs, range(10)))\n"
                           "    print(threading.active_count())\n"],
                          capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout == "1\n"
