"""What a server costs, read from /proc (see proc(5)): processor time of its engine and of the rest, and memory."""

import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

TICKS = os.sysconf("SC_CLK_TCK")  # a second
QUIET = 0.05  # of a core: servers that together use no more count as idle
MAPPING = re.compile(r"^(?=[0-9a-f]+-[0-9a-f]+ )", re.MULTILINE)  # where an entry of smaps begins
GONE = (OSError, psutil.NoSuchProcess)  # a process or thread that ended while it was looked at


@dataclass(frozen=True, slots=True)
class Clock:
    """Processor seconds that a server's processes have used: in all, with ended threads, and thread by thread."""

    total: float
    threads: dict[str, float]

    def since(self, before: "Clock", engine_threads: int) -> tuple[float, float]:
        """Seconds since `before`: all, and those outside the engine.

        NOTE: threads have no names here. While text is generated, the busiest `engine_threads` are the engine's; the
        others are the event loop's, HTTP's, the requests' and Cog's.
        """
        spent = self.total - before.total
        used = [seconds - before.threads.get(thread, 0.0) for thread, seconds in self.threads.items()]
        engine = sum(sorted(used, reverse=True)[:engine_threads])
        return spent, max(0.0, spent - engine)


def family(pid: int) -> list[int]:
    """The process and all below it; none where it has ended."""
    with suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


def clock(pid: int) -> Clock:
    total, threads = 0.0, {}
    for process in family(pid):
        with suppress(*GONE):
            total += _seconds(Path(f"/proc/{process}/stat"))
            for task in Path(f"/proc/{process}/task").iterdir():
                with suppress(*GONE):
                    threads[str(task)] = _seconds(task / "stat")
    return Clock(total, threads)


def _seconds(stat: Path) -> float:
    """utime and stime, fields 14 and 15. The second field is a name in brackets, which may contain spaces."""
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int) -> int:
    """Bytes of a process and its children: their own pages, and the mapped pages of each file once for all of them.

    NOTE: neither PSS nor USS, which both shrink while another program maps the same weights or libraries.
    """
    own = 0
    files: dict[tuple[str, ...], int] = {}  # kilobytes of a mapped part of a file
    for process in family(pid):
        with suppress(*GONE):
            own += _kilobytes(Path(f"/proc/{process}/smaps_rollup").read_text(), "Pss_Anon")  # only forks share these
            for part, kilobytes in _mapped_files(process):
                files[part] = max(files.get(part, 0), kilobytes)
    return 1024 * (own + sum(files.values()))


def _mapped_files(process: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """(device, inode, offset) of each mapped part of a file, and the kilobytes of it that are in memory."""
    for mapping in MAPPING.split(Path(f"/proc/{process}/smaps").read_text())[1:]:
        _, _, offset, device, inode = mapping.split(maxsplit=5)[:5]
        if inode != "0":
            yield (device, inode, offset), _kilobytes(mapping, "Rss") - _kilobytes(mapping, "Anonymous")


def _kilobytes(text: str, field: str) -> int:
    return int(text.partition(f"\n{field}:")[2].split(maxsplit=1)[0])


class Peak:
    """The most memory that was seen: four times a second inside `with peak.follow(pid)`, and at every `look`."""

    def __init__(self) -> None:
        self.bytes = 0
        self._pid: int | None = None
        self._over = threading.Event()

    def look(self, pid: int) -> None:
        self.bytes = max(self.bytes, memory(pid))

    def follow(self, pid: int) -> "Peak":
        self._pid = pid
        return self

    def __enter__(self) -> None:
        self._over.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        assert self._pid is not None
        while not self._over.wait(0.25):
            self.look(self._pid)


def settle(pids: Iterable[int], patience: float = 30.0) -> float:
    """Waits until these servers are idle (QUIET), at most `patience` seconds. Returns their share of a core then."""
    pids = list(pids)
    deadline = time.monotonic() + patience
    while True:
        before, began = _processor(pids), time.monotonic()
        time.sleep(0.25)
        share = (_processor(pids) - before) / (time.monotonic() - began)
        if share <= QUIET or time.monotonic() > deadline:
            return share


def _processor(pids: Iterable[int]) -> float:
    return sum(clock(pid).total for pid in pids)
