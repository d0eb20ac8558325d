"""Everything that is taken from a process before it reads a program, in order, each step for good."""

import ctypes
import os
import resource
import struct
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from deepseek_math.programs.sandbox import folders, landlock, seccomp
from deepseek_math.programs.sandbox.limits import Limits

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_THP_DISABLE = 1, 4, 38, 41
SIGKILL = 9
RLIMIT_SIGPENDING = 11  # signals that are queued; those with a number below 32 never are
CAPABILITY_VERSION_3 = 0x20080522
NOBODY = 65534  # who root becomes
CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID = (1 << bit for bit in (0, 1, 5, 6, 7))  # capabilities, as in capability.h
NICE = 10  # how much programs stand back for the engine
PACKAGE_FOLDERS = {"site-packages", "dist-packages"}


def confine(folder: Path, readable: Iterable[Path], listable: Iterable[Path], limits: Limits, uid: int | None) -> None:
    """Leaves this process the `folder` to read and write, `readable` to read, and its open descriptors.

    `uid` is whom it becomes, None for whoever it is. Call it in a process of one thread. Raises OSError.
    """
    rights = dict.fromkeys(listable, landlock.READ_DIR) | dict.fromkeys(readable, landlock.READ)
    with suppress(OSError):  # without /proc nothing is lost but a choice of whom to kill first
        Path("/proc/self/oom_score_adj").write_text("1000")
    os.chdir(folder)
    folders.shut(folder)
    os.umask(0o077)
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))  # SIGXCPU, then SIGKILL
    for what, most in {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        RLIMIT_SIGPENDING: 0,
    }.items():
        resource.setrlimit(what, (most, most))
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _drop_capabilities()
    seccomp.prctl(PR_SET_THP_DISABLE, 1)  # of a huge page that is unmapped in part, the rest is held and never counted
    seccomp.prctl(PR_SET_NO_NEW_PRIVS, 1)
    seccomp.prctl(PR_SET_DUMPABLE, 0)  # no other process of this user may look into it
    seccomp.prctl(PR_SET_PDEATHSIG, SIGKILL)  # cleared by a change of user, so it comes after that
    landlock.restrict(rights | {Path("."): landlock.OWN_FOLDER})
    seccomp.install()


def _drop_capabilities() -> None:
    header, none = struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(ctypes.create_string_buffer(header, 8), ctypes.create_string_buffer(none, 24)):
        raise OSError(ctypes.get_errno(), f"capset: {os.strerror(ctypes.get_errno())}")


def library_folders() -> list[Path]:
    """The standard library's. Programs may read their entries' names, as the importer does."""
    return sorted({Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")})


def library_entries() -> list[Path]:
    """The modules of the standard library, which programs may read; packages that lie beside them stay shut."""
    entries = [entry for folder in library_folders() for entry in folder.iterdir()]
    return sorted(entry for entry in entries if entry.name not in PACKAGE_FOLDERS)


def whom(paths: Iterable[str]) -> int | None:
    """The user that root gives way to, None where there is none: this is not root, or it lacks the capabilities to
    become another user and to reach what that one does, or Python's own files are for root alone."""
    if os.geteuid() or any(not capabilities() & each for each in (CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID)):
        return None
    folders = {each for path in paths if path for each in (Path(path).resolve(), *Path(path).resolve().parents)}
    return NOBODY if all(each.stat().st_mode & 0o001 for each in folders if each.is_dir()) else None


def capabilities() -> int:
    """Those in effect, as bits."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))


def interpreter_paths() -> list[str]:
    return [sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib")]
