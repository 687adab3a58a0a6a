# SPDX-License-Identifier: Apache-2.0
"""--output: a file that appears wholly or not at all."""

import os
import resource
import shutil
import signal
import stat
import subprocess

import generate
import pytest
import reference
import running


@pytest.fixture
def listing(texts):
    """What the folder texts gives: more than a pipe or a buffer of the command's holds."""
    for number in range(4):
        words = (f"w{'abcdefghij'[number]}{i}" for i in range(15000))
        (texts / f"{number}.txt").write_text(" ".join(words), encoding="ascii")
    generate.folder(texts, "output file", files=4, ill_formed=0)
    listed = reference.listing(reference.count_paths([texts], "plain")[0])
    assert len(listed) > 500000
    return listed


def count(forkfold, *arguments, **options):
    return forkfold.words("--rule", "plain", *arguments, "texts", **options)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data=b"old", mode=0o644):
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def check(run, path, listing):
    assert (run.code, run.out) == (0, b"")
    assert read(path) == listing


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002, 0o000])
def test_new_file_gets_the_mode_of_the_umask(forkfold, listing, umask):
    check(count(forkfold, "-o", "out", creates=["out"], umask=umask), "out", listing)
    assert mode_of("out") == 0o666 & ~umask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o664, 0o4755])
def test_existing_file_keeps_its_mode(forkfold, listing, mode):
    write("out", mode=mode)
    check(count(forkfold, "-o", "out", umask=0o077), "out", listing)
    assert mode_of("out") == mode


def test_existing_file_keeps_its_owner(forkfold, listing):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    write("out")
    os.chown("out", 12345, 54321)
    check(count(forkfold, "-o", "out"), "out", listing)
    assert (os.stat("out").st_uid, os.stat("out").st_gid) == (12345, 54321)


def test_longer_old_content_is_gone(forkfold, listing):
    write("out", b"old" * 10**6)
    check(count(forkfold, "-o", "out"), "out", listing)


def test_symbolic_link_stays_and_its_target_is_replaced(forkfold, listing):
    os.mkdir("deep")
    write("deep/target", mode=0o640)
    os.symlink("target", "deep/middle")
    os.symlink("deep/middle", "out")
    check(count(forkfold, "-o", "out"), "deep/target", listing)
    assert os.readlink("out") == "deep/middle" and os.readlink("deep/middle") == "target"
    assert sorted(os.listdir("deep")) == ["middle", "target"]
    assert mode_of("deep/target") == 0o640


@pytest.mark.parametrize("target", ["new", "deep/new", "absolute"])
def test_dangling_link_gets_its_target(forkfold, tmp_path, listing, target):
    os.mkdir("deep")
    os.symlink("new" if target == "deep/new" else
               tmp_path / "absolute" if target == "absolute" else target, "deep/link")  # fmt: skip
    os.symlink("deep/link", "out")
    written = {"new": "deep/new", "deep/new": "deep/new", "absolute": "absolute"}[target]
    run = count(forkfold, "-o", "out", creates=[written.split("/")[0]])
    check(run, written, listing)
    assert os.path.islink("out") and os.path.islink("deep/link")


def test_other_hard_link_keeps_the_old_content(forkfold, listing):
    write("out")
    os.link("out", "other")
    check(count(forkfold, "-o", "out"), "out", listing)
    assert read("other") == b"old"


def test_reader_of_the_old_file_sees_the_old_content(forkfold, listing):
    write("out")
    with open("out", "rb") as old:
        check(count(forkfold, "-o", "out"), "out", listing)
        assert old.read() == b"old"


def test_result_may_replace_an_input(forkfold, listing):
    check(count(forkfold, "-o", "texts/0.txt"), "texts/0.txt", listing)


def test_name_may_be_any_bytes(forkfold, listing):
    name = b"out \n\xff\x1b"
    check(count(forkfold, b"-o", name, creates=[name]), name, listing)
    assert forkfold.words(b"-o" + name, "texts").code == 0


def test_dash_is_standard_output(forkfold, listing):
    assert count(forkfold, "-o", "-").out == listing
    assert count(forkfold, "--output=-").out == listing


def test_json_goes_to_the_file_too(forkfold, listing):
    run = count(forkfold, "--format", "json", "--top", "1", "-o", "out", creates=["out"])
    assert run.out == b""
    assert read("out").startswith(b'{"words":[')


def test_failed_inputs_still_give_the_file(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    (texts / "b.txt").write_bytes(b"\xff")
    run = forkfold.words("-o", "out", "texts", creates=["out"])
    assert run.code == 1
    assert read("out") == b"1\tword\n"


def test_named_pipe_is_written_straight(forkfold, listing):
    os.mkfifo("out")
    with open("copy", "wb") as copy:
        reader = subprocess.Popen(["cat", "out"], stdout=copy)
    check(count(forkfold, "-o", "out"), "texts/0.txt", read("texts/0.txt"))
    assert reader.wait(running.HANG_SECONDS) == 0
    assert read("copy") == listing
    assert stat.S_ISFIFO(os.stat("out").st_mode)


def test_device_is_written_straight(forkfold, listing):
    before = os.stat("/dev/null")
    assert count(forkfold, "-o", "/dev/null").code == 0
    after = os.stat("/dev/null")
    assert (after.st_rdev, after.st_mode) == (before.st_rdev, before.st_mode)


def test_dev_stdout_appends_as_the_shell_opened_it(forkfold, listing):
    write("log", b"kept\n")
    with open("log", "ab") as log:
        assert count(forkfold, "-o", "/dev/stdout", stdout=log).code == 0
    assert read("log") == b"kept\n" + listing


def check_not_written(run, name):
    assert (run.code, run.out) == (3, b"")
    assert b"cannot write" in run.err and name.encode() in run.err
    assert b"distinct" not in run.err


def test_full_device_is_reported(forkfold, listing):
    run = count(forkfold, "-o", "/dev/full")
    check_not_written(run, "'/dev/full' of --output")
    assert b"No space left on device" in run.err and b"free some space" in run.err


def test_full_standard_output_is_reported(forkfold, listing):
    with open("/dev/full", "wb") as full:
        run = count(forkfold, stdout=full)
    check_not_written(run, "standard output")
    assert b"No space left on device" in run.err


def test_short_result_on_full_standard_output_is_reported(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    with open("/dev/full", "wb") as full:
        for arguments in (["words", "texts"], ["--help"], ["--version"], ["words", "--help"]):
            run = forkfold(*arguments, stdout=full)
            assert run.code == 3
            assert b"No space left on device" in run.err


@pytest.fixture
def small_disk(tmp_path):
    """What to put before a command so that it finds a full disk of 64 KiB at `disk`."""
    (tmp_path / "disk").mkdir()
    script = ('mount -t tmpfs -o size=64k tmpfs disk && echo old > disk/old && { "$@"; code=$?; '
              'ls -A disk >&2; cat disk/old >&2; exit $code; }')  # fmt: skip
    prefix = ("unshare", "-rm", "sh", "-c", script, "sh")
    if shutil.which("unshare") is None or subprocess.run(
            [*prefix, "true"], cwd=tmp_path, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    return prefix


@pytest.mark.parametrize("name", ["new", "old"])
def test_full_disk_leaves_the_old_file_and_no_other(forkfold, listing, small_disk, name):
    run = count(forkfold, "-o", f"disk/{name}", prefix=small_disk)
    check_not_written(run, f"'disk/{name}' of --output")
    assert b"No space left on device" in run.err
    assert run.err.endswith(b"\nold\nold\n")


def test_limit_of_file_size_is_reported_like_a_full_disk(forkfold, listing):
    write("out")

    def limit():
        os.setpgrp()
        resource.setrlimit(resource.RLIMIT_FSIZE, (100000, resource.RLIM_INFINITY))

    run = count(forkfold, "-o", "out", preexec_fn=limit)
    assert read("out") == b"old"
    check_not_written(run, "'out' of --output")
    assert b"File too large" in run.err and b"ulimit -f" in run.err


def test_interrupted_run_leaves_the_old_file(forkfold, listing):
    write("out", mode=0o600)
    run, held = forkfold.start_held("words", "-o", "out", "-", "texts")
    held.feed(b"word")
    run.signal(signal.SIGTERM)
    assert run.finish().code == 143
    held.close()
    assert read("out") == b"old"
    assert mode_of("out") == 0o600


def test_file_that_may_not_be_written_is_refused(forkfold, listing, as_user):
    write("out", mode=0o444)
    run = count(forkfold, "-o", "out", prefix=as_user)
    assert (run.code, run.out) == (2, b"")
    assert b"Permission denied" in run.err and read("out") == b"old"


def test_directory_that_may_not_be_written_is_refused(forkfold, listing, as_user):
    os.mkdir("locked", 0o555)
    run = count(forkfold, "-o", "locked/out", prefix=as_user)
    assert (run.code, run.out) == (2, b"")
    assert b"'locked/out'" in run.err and b"directory that you may write" in run.err
