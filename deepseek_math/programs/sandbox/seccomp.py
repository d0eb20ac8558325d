"""A seccomp filter: the system calls that a computing Python needs, and no others.

The filter is classic BPF, written out here: libseccomp, which the packages on the registry load, is not on every
machine. What is not listed fails with EPERM, so Python raises PermissionError; a call of another architecture (32-bit
or x32 numbers mean other calls) kills the process. Numbers: the kernel's asm/unistd_64.h and asm-generic/unistd.h.
"""

import ctypes
import errno
import os
import platform
import struct
from typing import NamedTuple

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
KILL_PROCESS, ALLOW, DENY = 0x80000000, 0x7FFF0000, 0x00050000 | errno.EPERM
LOAD, AND, EQUAL, AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06  # BPF: ld abs, and k, jeq k, jge k, ret k
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16  # offsets in struct seccomp_data
X32 = 0x40000000  # on x86-64 a number from here on is an x32 call
TMPFILE = 0o20000000  # __O_TMPFILE, on both; O_TMPFILE has O_DIRECTORY in it too
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
COLUMN = {"x86_64": 0, "aarch64": 1}


class Check(NamedTuple):
    """Allows a call by one argument: `argument & mask == value`."""

    argument: int
    mask: int
    value: int


# Each call's number on x86-64 and on aarch64, which lacks the older ones.
CALLS: dict[str, tuple[int | None, int | None]] = {
    # files: Landlock says which
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "lseek": (8, 62),
    "close": (3, 57),
    "stat": (4, None),
    "lstat": (6, None),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "ftruncate": (77, 46),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    # memory
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    # its own signals and timers
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "setitimer": (38, 103),
    "getitimer": (36, 102),
    "alarm": (37, None),
    "pause": (34, None),
    "restart_syscall": (219, 128),
    # time and waiting
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "getrusage": (98, 165),
    "select": (23, None),
    "pselect6": (270, 72),
    "poll": (7, None),
    "ppoll": (271, 73),
    "futex": (202, 98),
    "sched_yield": (24, 124),
    # what it is and where it runs
    "getrandom": (318, 278),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "sched_getaffinity": (204, 123),
    "getcpu": (309, 168),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    # the end
    "exit": (60, 93),
    "exit_group": (231, 94),
}


def _opening(flags: int) -> tuple[Check, ...]:
    """O_TRUNC goes with plain writing alone. Opened for reading, or in the mode 3 that neither reads nor writes, a file
    would be emptied past Landlock, which knows of truncation only from its third version on. A file without a name
    would grow where nobody sees it."""
    return (
        Check(flags, TMPFILE | os.O_TRUNC, 0),
        Check(flags, TMPFILE | os.O_ACCMODE, os.O_WRONLY),
        Check(flags, TMPFILE | os.O_ACCMODE, os.O_RDWR),
    )


CHECKED: dict[str, tuple[tuple[int | None, int | None], tuple[Check, ...]]] = {
    "open": ((2, None), _opening(1)),
    "openat": ((257, 56), _opening(2)),
    # up to F_SETLKW, and F_DUPFD_CLOEXEC: with F_SETOWN it could have a signal sent to others
    "fcntl": ((72, 25), (Check(1, 0xFFFFFFF8, 0), Check(1, 0xFFFFFFFF, 1030))),
}
SIGNALS: dict[str, tuple[int, int]] = {"kill": (62, 129), "tgkill": (234, 131)}  # to itself alone


def program(machine: str, pid: int) -> bytes:
    """The filter for the process `pid` on `machine`, as an array of struct sock_filter. KeyError: unknown machine."""
    column = COLUMN[machine]
    code = [(LOAD, 0, 0, ARCH_AT), (EQUAL, 1, 0, AUDIT_ARCH[machine]), (RETURN, 0, 0, KILL_PROCESS)]
    code += [(LOAD, 0, 0, NUMBER_AT)]
    if machine == "x86_64":
        code += [(AT_LEAST, 0, 1, X32), (RETURN, 0, 0, KILL_PROCESS)]
    for numbers in CALLS.values():
        if (number := numbers[column]) is not None:
            code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    to_itself = {name: (numbers, (Check(0, 0xFFFFFFFF, pid),)) for name, numbers in SIGNALS.items()}
    for numbers, checks in (CHECKED | to_itself).values():
        if (number := numbers[column]) is not None:
            tests = [instruction for check in checks for instruction in _test(check)]
            code += [(EQUAL, 0, len(tests) + 1, number), *tests, (RETURN, 0, 0, DENY)]
    code += [(RETURN, 0, 0, DENY)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _test(check: Check) -> list[tuple[int, int, int, int]]:
    """Returns ALLOW where the check passes. Arguments are little-endian; these are ints, of which 32 bits count."""
    return [
        (LOAD, 0, 0, ARGUMENTS_AT + 8 * check.argument),
        (AND, 0, 0, check.mask),
        (EQUAL, 0, 1, check.value),
        (RETURN, 0, 0, ALLOW),
    ]


def install() -> None:
    """Puts the filter on this process for good. Needs no_new_privs. Raises OSError."""
    machine = platform.machine()
    if machine not in AUDIT_ARCH:
        raise OSError(errno.ENOSYS, f"there is no seccomp filter for {machine} here")
    code = program(machine, os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(header, len(header)))


def prctl(option: int, *arguments: "int | ctypes.Array[ctypes.c_char]") -> None:
    """prctl(2). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in (*arguments, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *padded):
        raise OSError(ctypes.get_errno(), f"prctl({option}): {os.strerror(ctypes.get_errno())}")
