"""What a process uses, as the kernel tells everyone. A number that it does not tell (the process is gone) counts 0."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
BLOCK_BYTES = 512  # of st_blocks
HELD = {"RssAnon:", "RssShmem:", "VmSwap:", "HugetlbPages:"}  # lines of /proc/PID/status; libraries are not its own
TABLES = "VmPTE:"


@dataclass(frozen=True, slots=True)
class Memory:
    """`held`: bytes of pages that are its own or that it shares with the zygote since the fork."""

    held: int = 0
    tables: int = 0  # bytes of page tables, which are its own; RLIMIT_AS does not count them
    faults: int = 0  # pages that it has touched for the first time, or the first time since the fork

    @property
    def total(self) -> int:
        return self.held + self.tables

    def since(self, start: "Memory") -> int:
        """Bytes that it has taken since `start`, when it shared all its pages with the zygote.

        Pages that it held by then and has written to since are its own now. The kernel tells their number to nobody,
        but each took a fault.
        """
        grown = max(0, self.held - start.held)
        written = (self.faults - start.faults) * PAGE_BYTES - grown
        return grown + min(start.held, max(0, written)) + max(0, self.tables - start.tables)


@dataclass(frozen=True, slots=True)
class Files:
    count: int
    bytes: int


def memory(pid: int) -> Memory:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return Memory()
    lines = [line.split() for line in status.splitlines()]
    held = sum(int(line[1]) << 10 for line in lines if line and line[0] in HELD)
    tables = sum(int(line[1]) << 10 for line in lines if line and line[0] == TABLES)
    after_the_name = stat.rpartition(")")[2].split()
    return Memory(held, tables, faults=int(after_the_name[7]))


def cpu_seconds(pid: int) -> float:
    """Processor time so far. The clock's number is counted as libc's clock_getcpuclockid does."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def seconds_waited(pid: int) -> float:
    """Seconds that it was ready to run in while others had the cores; 0 where the kernel does not count them."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def files(folder: int, most: int) -> Files:
    """The files in a folder that is open, counted up to one more than `most`."""
    count = size = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            count += 1
            size += entry.stat(follow_symlinks=False).st_blocks * BLOCK_BYTES
            if count > most:
                break
    return Files(count, size)
