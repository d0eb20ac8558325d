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
    """What one argument of a call must be: `argument & mask == value`. The lower 32 bits count."""

    argument: int
    mask: int
    value: int


class Rule(NamedTuple):
    """A call that is allowed if all checks of one of `allowed` pass."""

    numbers: tuple[int | None, int | None]
    allowed: tuple[tuple[Check, ...], ...]


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
    # memory
    "munmap": (11, 215),
    "mprotect": (10, 226),
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
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "getrusage": (98, 165),
    "select": (23, None),
    "pselect6": (270, 72),
    "poll": (7, None),
    "ppoll": (271, 73),
    "sched_yield": (24, 124),
    # what it is and where it runs
    "getrandom": (318, 278),
    "uname": (63, 160),
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


WHOLE = 0xFFFFFFFF
MAP_TYPE, MAP_PRIVATE, MAP_HUGETLB = 0x0F, 0x02, 0x40000
MREMAP_MAYMOVE = 1
ALLOCATORS_ADVICE = {"MADV_DONTNEED": 4, "MADV_FREE": 8, "MADV_HUGEPAGE": 14, "MADV_NOHUGEPAGE": 15}
FUTEX_PRIVATE_FLAG = 128
CLOCKS = 0x0F  # of the machine and of this process; a clock of another process is a negative number
F_SETFL, F_DUPFD_CLOEXEC = 4, 1030
UP_TO_F_GETFL = 0xFFFFFFFC  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL: 0 to 3
SYNC = 0o4010000  # O_SYNC, of which O_DSYNC is a part
ASYNC = 0o20000  # FASYNC: a signal for each byte
DIRECT = {"x86_64": 0o40000, "aarch64": 0o200000}  # O_DIRECT, which Python has for this machine alone


def _rules(machine: str, pid: int) -> dict[str, Rule]:
    """The calls that are allowed by their arguments, for the process `pid`."""
    plain_flags = DIRECT[machine] | ASYNC
    own_clock = ((Check(0, WHOLE & ~CLOCKS, 0),),)
    own_process = (Check(0, WHOLE, pid),)
    return {
        "open": Rule((2, None), _opening(1, DIRECT[machine])),
        "openat": Rule((257, 56), _opening(2, DIRECT[machine])),
        # No locks, which others would see on a library's file. With F_SETOWN it could have a signal sent to others. A
        # pipe with O_DIRECT hands over each byte by itself.
        "fcntl": Rule(
            (72, 25),
            (
                (Check(1, UP_TO_F_GETFL, 0),),
                (Check(1, WHOLE, F_DUPFD_CLOEXEC),),
                (Check(1, WHOLE, F_SETFL), Check(2, plain_flags, 0)),
            ),
        ),
        # The pages of a shared mapping can outlive it, so RLIMIT_AS does not bound them; nor does it huge pages'.
        "mmap": Rule((9, 222), ((Check(3, MAP_TYPE | MAP_HUGETLB, MAP_PRIVATE),),)),
        "mremap": Rule((25, 216), ((Check(3, WHOLE & ~MREMAP_MAYMOVE, 0),),)),
        "madvise": Rule((28, 233), tuple((Check(2, WHOLE, advice),) for advice in ALLOCATORS_ADVICE.values())),
        # A shared futex lies in a file, and others have the same libraries open.
        "futex": Rule((202, 98), ((Check(1, FUTEX_PRIVATE_FLAG, FUTEX_PRIVATE_FLAG),),)),
        "clock_gettime": Rule((228, 113), own_clock),
        "clock_getres": Rule((229, 114), own_clock),
        "clock_nanosleep": Rule((230, 115), own_clock),
        "sched_getaffinity": Rule((204, 123), ((Check(0, WHOLE, 0),), own_process)),
        "kill": Rule((62, 129), (own_process,)),
        "tgkill": Rule((234, 131), (own_process,)),
    }


def _opening(flags: int, direct: int) -> tuple[tuple[Check, ...], ...]:
    """O_TRUNC goes with plain writing alone. Opened for reading, or in the mode 3 that neither reads nor writes, a file
    would be emptied past Landlock, which knows of truncation only from its third version on. A file without a name
    would grow where nobody sees it. With O_SYNC each write would wait for the disk, and others with it."""
    never = TMPFILE | direct | SYNC
    return (
        (Check(flags, never | os.O_TRUNC, 0),),
        (Check(flags, never | os.O_ACCMODE, os.O_WRONLY),),
        (Check(flags, never | os.O_ACCMODE, os.O_RDWR),),
    )


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
    for rule in _rules(machine, pid).values():
        if (number := rule.numbers[column]) is not None:
            tests = [instruction for checks in rule.allowed for instruction in _test(checks)]
            code += [(EQUAL, 0, len(tests) + 1, number), *tests, (RETURN, 0, 0, DENY)]
    code += [(RETURN, 0, 0, DENY)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _test(checks: tuple[Check, ...]) -> list[tuple[int, int, int, int]]:
    """Returns ALLOW where all checks pass, and goes on after that where one does not."""
    length = 3 * len(checks) + 1
    code = []
    for number, check in enumerate(checks, 1):
        to_the_end = length - 3 * number
        code += [
            (LOAD, 0, 0, ARGUMENTS_AT + 8 * check.argument),  # arguments are little-endian
            (AND, 0, 0, check.mask),
            (EQUAL, 0, to_the_end, check.value),
        ]
    return [*code, (RETURN, 0, 0, ALLOW)]


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
