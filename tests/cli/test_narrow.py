# SPDX-License-Identifier: Apache-2.0
"""Places in which something is missing: system calls, /proc, /dev, the right to write, CPUs,
memory.  The command counts all the same, or names what is missing and what to do."""

import contextlib
import errno
import json
import os
import platform
import re
import resource

import pytest
import reference
import running
from expected import decode_lines
from narrow import ARCHITECTURES, before, can_take, cover, own_mounts, read_only, refuse

# The sanitizers need /proc, and look for leaks with system calls of their own.
needs_no_proc = pytest.mark.skipif(running.SANITIZED, reason="the sanitizer needs /proc")
ASAN_OPTIONS = os.environ.get("ASAN_OPTIONS", "")
NO_LEAK_SEARCH = {"ASAN_OPTIONS": f"{ASAN_OPTIONS}:detect_leaks=0:handle_segv=0"}

# So little that the words below do not fit in it.
SPILLING = ("--memory", "1M", "-j", "2", "--rule", "plain", "--stats=json")
WORDS = 8000
BAD = "bad.txt"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder of texts, one of them ill-formed, whose words are too many for SPILLING."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(2):
        words = (f"{n % 1000}-word-{n * (number + 1)}" for n in range(WORDS))
        (folder / f"{number}.txt").write_text(" ".join(words), encoding="ascii")
    (folder / BAD).write_bytes(b"some words and \xff")
    return folder


@pytest.fixture(scope="module")
def counted(many):
    """What Python counts there."""
    return reference.count_paths([many], "plain")


@pytest.fixture(scope="module")
def filters():
    """For tests that refuse system calls."""
    if platform.machine() not in ARCHITECTURES:
        pytest.skip(f"the numbers of system calls on {platform.machine()} are not known here")
    if not can_take(refuse("statx", errno.ENOSYS)):
        pytest.skip("no filters of system calls can be made here")


@pytest.fixture(scope="module")
def mounts():
    """For tests with mounts of their own."""
    folders = ("/sys/fs/cgroup", "/sys", "/dev", "/proc")
    if not can_take(own_mounts, *map(cover, folders), read_only):
        pytest.skip("no file systems can be mounted here")


def stats_of(run):
    return json.loads(run.err.splitlines()[-1])


def check_spilled(run, counted):
    words, failures = counted
    assert (run.code, run.out) == (1, reference.listing(words))
    assert decode_lines(failures)[0] in run.err
    assert stats_of(run)["spilled_bytes"] > 0


def check_refused(run, *parts):
    """No result, and a word about it."""
    assert (run.code, run.out) == (3, b""), run
    for part in parts:
        assert part in run.err, run.err


# ---- System calls that an old kernel does not have, or that a container does not allow

REFUSALS = {"old kernel": errno.ENOSYS, "container": errno.EPERM}

# Without these there is no pool.
NEEDED = {
    "clone": b"refuses fork",
    "epoll_create1": b"refuses epoll",
    "epoll_ctl": b"refuses epoll_ctl",
    "epoll_wait": b"refuses epoll",
    "eventfd2": b"refuses eventfd",
    "kill": b"refuses kill",
    "pidfd_open": b"refuses pidfd_open",
    "pidfd_send_signal": b"refuses pidfd_send_signal",
    "pipe2": b"refuses pipe2",
    "prctl": b"refuses prctl(PR_SET_PDEATHSIG)",
    "recvmsg": b"refuses recvmsg",
    "sendmsg": b"refuses sendmsg",
    "socketpair": b"refuses socketpair",
    "timerfd_create": b"refuses timerfd",
    "timerfd_settime": b"refuses timerfd",
}

# Without these it is slower, or takes more room, or tells less of a crash.
SPARED = ("clone3", "close_range", "epoll_pwait2", "faccessat2", "fallocate", "ftruncate", "futex",
          "getrandom", "linkat", "madvise", "mincore", "openat2", "rename", "rseq",
          "sched_getaffinity", "signalfd4", "statx", "sysinfo", "waitid")  # fmt: skip

# How the workers of crash_and_spill() die: the first tells itself, the second nobody but wait().
DEATHS = {"segv": b"11 (Segmentation fault)", "kill": b"9 (Killed)"}

PR_SET_CHILD_SUBREAPER = 36
P_PIDFD = 3
# What O_TMPFILE has beside O_DIRECTORY.
NAMELESS = os.O_TMPFILE & ~os.O_DIRECTORY


@pytest.mark.usefixtures("filters")
@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("call", NEEDED)
def test_call_without_which_there_is_no_pool_is_named(forkfold, many, call, refusal):
    run = forkfold.words(*SPILLING, many, environment=NO_LEAK_SEARCH,
                         preexec_fn=before(refuse(call, REFUSALS[refusal])))  # fmt: skip
    check_refused(run, NEEDED[call], os.strerror(REFUSALS[refusal]).encode(),
                  b"takes Linux 5.3 or newer", b"a seccomp filter that allows it")  # fmt: skip


def crash_and_spill(forkfold, many, counted, *steps, death="segv"):
    """Everything at once: a count that spills, of which one file kills its workers."""
    run = forkfold.words(*SPILLING, many, preexec_fn=before(*steps),
                         environment={"FORKFOLD_FAULT": f"{death}:begin:*{BAD}", **NO_LEAK_SEARCH})
    words, _ = counted
    assert (run.code, run.out) == (1, reference.listing(words)), run
    assert b"/bad.txt: a worker died of signal " + DEATHS[death] in run.err
    stats = stats_of(run)
    assert stats["deaths"] == 3 and stats["spilled_bytes"] > 0


@pytest.mark.usefixtures("filters")
@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("call", SPARED)
def test_call_that_can_be_spared_changes_nothing(forkfold, many, counted, call, refusal):
    crash_and_spill(forkfold, many, counted, refuse(call, REFUSALS[refusal]))


@pytest.mark.usefixtures("filters")
@pytest.mark.parametrize("refusal", [{"error": errno.EINVAL, "argument": 0, "equals": P_PIDFD},
                                     {"error": errno.EPERM}], ids=["pidfd", "at all"])  # fmt: skip
def test_death_is_told_though_waitid_is_refused(forkfold, many, counted, refusal):
    crash_and_spill(forkfold, many, counted, refuse("waitid", **refusal), death="kill")


@pytest.mark.usefixtures("filters")
@pytest.mark.parametrize("error", ["EISDIR", "EINVAL", "EOPNOTSUPP"])
def test_files_without_names_can_be_spared(forkfold, many, counted, error):
    steps = [refuse("openat", getattr(errno, error), argument=2, has=NAMELESS)]
    crash_and_spill(forkfold, many, counted, *steps)
    run = forkfold.words(*SPILLING, "-o", "out", many, preexec_fn=before(*steps), creates=["out"],
                         environment=NO_LEAK_SEARCH)  # fmt: skip
    assert run.code == 1
    with open("out", "rb") as file:
        assert file.read() == reference.listing(counted[0])


@pytest.mark.usefixtures("filters")
@pytest.mark.parametrize("old", [False, True], ids=["new", "replaced"])
def test_result_file_needs_no_newer_check_of_rights(forkfold, many, counted, tmp_path, old):
    if old:
        (tmp_path / "out").write_bytes(b"old")
    run = forkfold.words("--rule", "plain", "-o", "out", many, creates=["out"],
                         preexec_fn=before(refuse("faccessat2", errno.EPERM)))  # fmt: skip
    assert run.code == 1
    with open("out", "rb") as file:
        assert file.read() == reference.listing(counted[0])


@pytest.mark.usefixtures("filters")
def test_oldest_kernel_is_enough(forkfold, many, counted):
    """All that is newer than the kernel which the documents name, at once."""
    crash_and_spill(
        forkfold, many, counted,
        refuse("waitid", errno.EINVAL, argument=0, equals=P_PIDFD),
        *(refuse(call, errno.ENOSYS) for call in ("openat2", "close_range", "faccessat2",
                                                  "epoll_pwait2")),
    )  # fmt: skip


@pytest.mark.usefixtures("filters")
def test_orphans_need_not_be_adopted(forkfold, many, counted):
    crash_and_spill(forkfold, many, counted,
                    refuse("prctl", errno.EINVAL, argument=0, equals=PR_SET_CHILD_SUBREAPER))


def open_files(pid):
    """What lies behind the descriptors of a process, which may close some meanwhile."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


@pytest.mark.parametrize("proc", [
    "a /proc", pytest.param("no /proc", marks=[needs_no_proc, pytest.mark.usefixtures("mounts")]),
])  # fmt: skip
@pytest.mark.usefixtures("filters")
def test_descriptors_are_not_inherited_though_close_range_is_refused(forkfold, proc):
    """The end of a pipe that a worker held would keep its reader waiting."""
    steps = [own_mounts, cover("/proc")] if proc == "no /proc" else []
    reader, writer = os.pipe()
    high = os.dup2(writer, 300)
    run, held = forkfold.start_held("words", "-", pass_fds=[writer, high],
                                    preexec_fn=before(*steps, refuse("close_range", errno.ENOSYS)))
    pipe = os.readlink(f"/proc/self/fd/{writer}")
    for fd in (reader, writer, high):
        os.close(fd)
    held.feed(b"word")
    holders = {process.name for process in run.processes() if pipe in open_files(process.pid)}
    held.close()
    assert run.finish().code == 0
    assert holders == {"forkfold"}


# ---- File systems that are missing or cannot be written


@pytest.fixture
def words_in(forkfold, many, mounts):
    """Runs a count behind the steps, in mounts of its own."""

    def run(*arguments, steps, **options):
        return forkfold.words("--rule", "plain", *arguments, many,
                              preexec_fn=before(own_mounts, *steps), **options)  # fmt: skip

    return run


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp", ""])
def test_read_only_system_counts(words_in, counted, folder):
    run = words_in("-j", "2", steps=[read_only], environment={"TMPDIR": folder})
    assert (run.code, run.out) == (1, reference.listing(counted[0]))
    assert run.messages() == decode_lines(counted[1])


@pytest.mark.parametrize("folder, named", [("/tmp", "/tmp"), ("", "/var/tmp")])
def test_read_only_system_does_not_spill_but_says_so(words_in, folder, named):
    run = words_in(*SPILLING, steps=[read_only], environment={"TMPDIR": folder})
    check_refused(run, f"in '{named}': Read-only file system".encode(),
                  b"name a folder where it can be written by TMPDIR, or allow more memory",
                  b"no result was written")  # fmt: skip


def test_read_only_system_spills_where_tmpdir_can_be_written(forkfold, words_in, counted):
    check_spilled(words_in(*SPILLING, steps=[read_only, cover(forkfold.temporary)]), counted)


def test_read_only_folder_for_the_result_is_named(words_in):
    run = words_in("-o", "out", steps=[read_only])
    assert (run.code, run.out) == (2, b"")
    assert b"Read-only file system; name a file in a directory that you may write" in run.err


@needs_no_proc
@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize("missing", [["/dev"], ["/proc"], ["/dev", "/proc"],
                                     ["/dev", "/proc", "/sys"]], ids="+".join)  # fmt: skip
def test_system_folders_can_be_spared(forkfold, many, counted, missing):
    steps = [own_mounts, *map(cover, missing)]
    crash_and_spill(forkfold, many, counted, *steps)
    run = forkfold.words(*SPILLING, "-o", "out", many, preexec_fn=before(*steps), creates=["out"])
    assert run.code == 1
    with open("out", "rb") as file:
        assert file.read() == reference.listing(counted[0])


@needs_no_proc
def test_bare_read_only_system_counts_with_a_roomy_tmpdir(forkfold, words_in, counted):
    steps = [*map(cover, ("/dev", "/proc", "/sys")), read_only, cover(forkfold.temporary)]
    check_spilled(words_in(*SPILLING, steps=steps), counted)


# ---- Limits of a process


def limit(which, value):
    return lambda: resource.setrlimit(which, (value, value))


def check_counted_or_explained(run, counted, way_out):
    if run.code == 3:
        check_refused(run, way_out)
    else:
        check_spilled(run, counted)


@pytest.mark.parametrize("files", range(8, 26, 2))
def test_few_open_files_are_enough_to_spill_or_explained(forkfold, many, counted, files):
    run = forkfold.words(*SPILLING, many, preexec_fn=before(limit(resource.RLIMIT_NOFILE, files)))
    check_counted_or_explained(run, counted, b"raise the limit of open files (ulimit -n)")


@pytest.mark.skipif(running.SANITIZED, reason="the sanitizer takes terabytes of addresses")
@pytest.mark.parametrize("mebibytes", [20, 40, 60, 80, 160])
def test_little_address_space_is_enough_or_explained(forkfold, many, counted, mebibytes):
    step = limit(resource.RLIMIT_AS, mebibytes << 20)
    run = forkfold.words(*SPILLING, many, preexec_fn=before(step))
    check_counted_or_explained(run, counted, b"(ulimit -v)")


# ---- CPUs and memory that may be used

CPUS = len(os.sched_getaffinity(0))


def usable_cpus(run):
    (line,) = re.findall(rb"(\d+) workers?, (\d+) usable CPUs?\n", run.err)
    assert line[0] == line[1]
    return int(line[0])


def test_workers_are_as_many_as_the_affinity_mask_has_cpus(forkfold, many):
    one = min(os.sched_getaffinity(0))
    run = forkfold.words("-v", many, preexec_fn=before(lambda: os.sched_setaffinity(0, {one})))
    assert usable_cpus(run) == 1


@pytest.mark.usefixtures("filters")
def test_workers_are_as_many_as_cpus_are_online_where_the_mask_is_not_told(forkfold, many):
    known = usable_cpus(forkfold.words("-v", many))
    run = forkfold.words("-v", many, preexec_fn=before(refuse("sched_getaffinity", errno.ENOSYS)))
    assert known <= usable_cpus(run) <= os.sysconf("SC_NPROCESSORS_ONLN")


def group_files(version, folder, quota):
    """The files of a control group, and the line of /proc/self/cgroup that names it."""
    names = {2: ["cpu.max"], 1: ["cpu.cfs_quota_us", "cpu.cfs_period_us"]}[version]
    values = [f"{quota} 100000\n"] if version == 2 else [f"{quota}\n", "100000\n"]
    return {os.path.join(folder, name): value for name, value in zip(names, values)}


# Where the line of /proc/self/cgroup leads, and where the quota is.
GROUPS = {
    "v2": (2, "0::/\n", ""),
    "v2, above": (2, "0::/jobs/one\n", "jobs"),
    "v2, of a container": (2, "0::/jobs/one\n", ""),
    "v2, without /proc": (2, None, ""),
    "v1": (1, "4:memory:/x\n3:cpu,cpuacct:/jobs\n", "cpu/jobs"),
    "v1, together": (1, "3:cpu,cpuacct:/jobs\n", "cpu,cpuacct/jobs"),
    "v1, of a container": (1, "3:cpu,cpuacct:/docker/0123\n0::/\n", "cpu"),
    "v1, without /proc": (1, None, "cpu"),
}


@needs_no_proc
@pytest.mark.parametrize("quota, cpus", [("50000", 1), ("100001", 2), ("none", CPUS)])
@pytest.mark.parametrize("group", GROUPS)
def test_workers_are_as_many_as_the_quota_of_the_control_group(words_in, group, quota, cpus):
    version, line, folder = GROUPS[group]
    if quota == "none":
        quota = "max" if version == 2 else "-1"
    steps = [cover("/sys/fs/cgroup", group_files(version, folder, quota)),
             cover("/proc", {} if line is None else {"self/cgroup": line})]  # fmt: skip
    assert usable_cpus(words_in("-v", steps=steps)) == min(cpus, CPUS)


@needs_no_proc
@pytest.mark.parametrize("line, files", [
    ("0::/jobs\n", {"memory.max": "4194304\n", "memory.current": "0\n"}),
    ("0::/jobs\n", {"jobs/memory.max": "9000000\n", "jobs/memory.current": "5000000\n"}),
    ("4:memory:/jobs\n", {"memory/jobs/memory.limit_in_bytes": "4194304\n",
                          "memory/jobs/memory.usage_in_bytes": "0\n"}),
], ids=["v2", "v2, in use", "v1"])  # fmt: skip
def test_counts_take_a_quarter_of_what_the_control_group_has(words_in, counted, line, files):
    steps = [cover("/sys/fs/cgroup", files), cover("/proc", {"self/cgroup": line})]
    check_spilled(words_in("-j", "2", "--stats=json", steps=steps), counted)


@needs_no_proc
def test_unlimited_control_group_spills_nothing(words_in):
    steps = [cover("/sys/fs/cgroup", {"memory.max": "max\n", "memory.current": "0\n"}),
             cover("/proc", {"self/cgroup": "0::/\n"})]  # fmt: skip
    assert stats_of(words_in("--stats=json", steps=steps))["spilled_bytes"] == 0
