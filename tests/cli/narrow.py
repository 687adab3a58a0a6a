# SPDX-License-Identifier: Apache-2.0
"""Takes things away from a command before it starts: system calls, file systems, rights to write.

What is taken away is a list of steps, each a function without arguments, which the process that
becomes the command takes by itself (`before`, for preexec_fn).  So the test sees everything as
before: namespaces and filters are the command's alone, and end with it.
"""

import ctypes
import os
import platform
import subprocess

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def before(*steps):
    """For preexec_fn: the process group that every run has, then the steps."""

    def take():
        os.setpgrp()
        for step in steps:
            step()

    return take


def can_take(*steps):
    try:
        subprocess.run(["true"], check=True, preexec_fn=before(*steps), capture_output=True)
    except subprocess.SubprocessError:
        return False
    return True


# ---- System calls

# Their numbers on x86-64 and aarch64; where the C library takes another call on aarch64, that one.
NUMBERS = {
    "clone": (56, 220),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_pwait2": (441, 441),
    "epoll_wait": (232, 22),
    "eventfd2": (290, 19),
    "faccessat2": (439, 439),
    "fallocate": (285, 47),
    "ftruncate": (77, 46),
    "futex": (202, 98),
    "getrandom": (318, 278),
    "kill": (62, 129),
    "linkat": (265, 37),
    "madvise": (28, 233),
    "mincore": (27, 232),
    "openat": (257, 56),
    "openat2": (437, 437),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pipe2": (293, 59),
    "prctl": (157, 167),
    "recvmsg": (47, 212),
    "rename": (82, 38),
    "rseq": (334, 293),
    "sched_getaffinity": (204, 123),
    "sendmsg": (46, 211),
    "signalfd4": (289, 74),
    "socketpair": (53, 199),
    "statx": (332, 291),
    "sysinfo": (99, 179),
    "timerfd_create": (283, 85),
    "timerfd_settime": (286, 86),
    "waitid": (247, 95),
}
ARCHITECTURES = ("x86_64", "aarch64")

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO = 0x00050000

# Of struct seccomp_data: the number, and the low half of the first argument.
NUMBER_OFFSET = 0
ARGUMENTS_OFFSET = 16

LOAD, JUMP_IF_EQUAL, JUMP_IF_SET, RETURN = 0x20, 0x15, 0x45, 0x06


class Instruction(ctypes.Structure):
    """struct sock_filter"""

    _fields_ = [("code", ctypes.c_uint16), ("if_true", ctypes.c_uint8),
                ("if_false", ctypes.c_uint8), ("value", ctypes.c_uint32)]  # fmt: skip


class Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction))]


def assemble(number, error, argument, jump, value):
    """Skips to the end, where everything is allowed, unless the call is the one that is refused."""
    lines = [(LOAD, 0, 0, NUMBER_OFFSET), (JUMP_IF_EQUAL, 0, 1, number)]
    if argument is not None:
        lines[1] = (JUMP_IF_EQUAL, 0, 3, number)
        lines += [(LOAD, 0, 0, ARGUMENTS_OFFSET + 8 * argument), (jump, 0, 1, value)]
    lines += [(RETURN, 0, 0, SECCOMP_RET_ERRNO | error), (RETURN, 0, 0, SECCOMP_RET_ALLOW)]
    return (Instruction * len(lines))(*(Instruction(*line) for line in lines))


def refuse(call, error, argument=None, equals=None, has=None):
    """The kernel answers the call with the error, as one that does not know it (ENOSYS) or a
    container's filter would (EPERM): always, or when an argument equals a value or has a flag."""
    number = NUMBERS[call][ARCHITECTURES.index(platform.machine())]
    jump, value = (JUMP_IF_EQUAL, equals) if has is None else (JUMP_IF_SET, has)
    instructions = assemble(number, error, argument, jump, value)
    program = Program(len(instructions), instructions)

    def step():
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program)))

    return step


# ---- File systems

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

AT_FDCWD = -100
AT_RECURSIVE = 0x8000
SYS_MOUNT_SETATTR = 442
MOUNT_ATTR_RDONLY = 1


class MountAttributes(ctypes.Structure):
    """struct mount_attr"""

    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user")]


def mount(kind, path, flags=0, data=None):
    check(libc.mount(b"none", os.fsencode(path), kind, flags, data))


def own_mounts():
    """The first of the steps below: mounts that nobody else sees."""
    user, group = os.geteuid(), os.getegid()
    try:
        check(libc.unshare(CLONE_NEWNS))
    except PermissionError:
        check(libc.unshare(CLONE_NEWNS | CLONE_NEWUSER))
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"),
                           ("gid_map", f"0 {group} 1")):  # fmt: skip
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    mount(None, "/", MS_REC | MS_PRIVATE)


def read_only():
    """Everything that is mounted by now."""
    attributes = MountAttributes(set=MOUNT_ATTR_RDONLY)
    check(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, ctypes.byref(attributes),
                       ctypes.sizeof(attributes)))  # fmt: skip


def cover(path, files=None):
    """A file system of its own at the path, with nothing in it but the files, by name."""

    def step():
        mount(b"tmpfs", path)
        for name, text in (files or {}).items():
            place = os.path.join(path, name)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "w", encoding="ascii") as file:
                file.write(text)

    return step
