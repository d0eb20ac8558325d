"""What this container may use, as its control group says: version 2, and version 1 as older machines have it."""

import os
from dataclasses import dataclass
from math import ceil
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
PROGRAM_BYTES = 85 << 20  # of its own, of a process that runs a program; 48 MiB while it waits for one
NO_LIMIT = 1 << 60  # version 1 has a number of this size where there is none


@dataclass(frozen=True, slots=True)
class _Version:
    """Names of files in CGROUP."""

    limit: str
    used: str
    stat: str
    droppable: str  # a line of `stat`: file pages that the kernel would give back
    quota: tuple[str, ...]  # microseconds of processor time, and in how many


VERSIONS = (
    _Version("memory.max", "memory.current", "memory.stat", "inactive_file", ("cpu.max",)),
    _Version(
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
        ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"),
    ),
)


def memory_limit() -> int | None:
    """Bytes; None where there is no limit."""
    for version in VERSIONS:
        text = _read(version.limit)
        if text.isdigit() and int(text) < NO_LIMIT:
            return int(text)
    return None


def memory_used() -> int:
    """Bytes, without the file pages that the kernel would drop: a download leaves gigabytes of them."""
    for version in VERSIONS:
        used = _read(version.used)
        if used:
            lines = [line.split() for line in _read(version.stat).splitlines()]
            return max(0, int(used) - int(dict(lines).get(version.droppable, 0)))
    return 0


def cores() -> int:
    """Processors that this process may use at once: `docker run --cpus 2` allows the time of two, on any machine."""
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for version in VERSIONS:
        numbers = " ".join(map(_read, version.quota)).split()
        if len(numbers) == 2 and numbers[0].isdigit():
            most = min(most, ceil(int(numbers[0]) / int(numbers[1])))
    return max(1, most)


def shared_memory() -> int | None:
    """Bytes of /dev/shm; None where there is none."""
    try:
        size = os.statvfs("/dev/shm")
    except OSError:
        return None
    return size.f_blocks * size.f_frsize


def programs_at_once(limit: int | None) -> int:
    """Programs of mode tool: as many as there are cores, at least two, and of a `limit` of memory at most an eighth."""
    most = cores() if limit is None else min(cores(), limit // 8 // PROGRAM_BYTES)
    return max(2, most)


def _read(name: str) -> str:
    """Empty where there is no such file: on a machine's own system, or another than Linux."""
    try:
        return (CGROUP / name).read_text().strip()
    except OSError:
        return ""
