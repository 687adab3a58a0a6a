# SPDX-License-Identifier: Apache-2.0
"""The source distribution, and the wheel that is built from it, where there is nothing else."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import forkfold

ROOT = Path(__file__).resolve().parent.parent.parent

# What the build needs lies beside the interpreter.
TOOLS = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
         "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1"}

PROGRAM = """
import math, forkfold
with forkfold.Pool(2) as pool:
    print(pool.map(math.factorial, [3, 4]))
print(forkfold.count_words(text="a b a").to_dict())
print(list(forkfold.Pipeline(math.sqrt, math.floor).run([10])))
"""


def run(*command, **options):
    done = subprocess.run([os.fspath(part) for part in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=600, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("a source distribution is made of what git knows")
    pytest.importorskip("mesonpy")
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-c",
        "import mesonpy, sys\n"
        "mesonpy.build_sdist(sys.argv[1], {'build-dir': sys.argv[2]})",
        folder, tmp_path_factory.mktemp("build"), cwd=ROOT, env=TOOLS)
    [made] = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """Built in a folder of pip's, which is gone then."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir",
        folder, sdist, cwd=folder, env=TOOLS)
    [made] = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An interpreter with the wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "python", "-m", "pip", "install", "--no-deps", wheel, env=TOOLS)
    return folder / "bin" / "python"


def test_wheel_is_named_for_the_version(sdist, wheel):
    assert sdist.name == f"forkfold-{forkfold.__version__}.tar.gz"
    assert wheel.name.startswith(f"forkfold-{forkfold.__version__}-cp")


def test_wheel_has_all_of_the_package_and_nothing_beside_it(wheel):
    package = ROOT / "front" / "python" / "forkfold"
    sources = {f"forkfold/{path.name}" for path in package.iterdir() if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    built = {name for name in names - sources if name.startswith("forkfold/_native.")}
    assert names == sources | built | {"forkfold/forkfold-command"} and len(built) == 1


def test_package_works_where_there_is_nothing_else(python, tmp_path):
    assert run(python, "-I", "-c", PROGRAM, cwd=tmp_path) == "[6, 24]\n{'a': 2, 'b': 1}\n[3]\n"


def test_command_works_where_there_is_nothing_else(python, tmp_path):
    assert forkfold.__version__ in run(python, "-m", "forkfold", "--version", cwd=tmp_path)
    (tmp_path / "a.txt").write_text("one two two")
    assert run(python, "-m", "forkfold", "words", "-q", tmp_path, cwd=tmp_path) \
        == "2\ttwo\n1\tone\n"
