"""What a server costs, read from /proc (proc(5)): processor time of its engine and of the rest, and memory."""

import os
import re
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

TICKS = os.sysconf("SC_CLK_TCK")  # a second
QUIET = 0.05  # of a core: what servers may use together and count as idle
MAPPING = re.compile(r"^(?=[0-9a-f]+-[0-9a-f]+ )", re.MULTILINE)  # where an entry of smaps begins
GONE = (OSError, psutil.NoSuchProcess)  # a process or thread that ended while it was looked at


@dataclass(frozen=True, slots=True)
class Clock:
    """Processor seconds that a server's processes have used: in all, ended threads included, and thread by thread."""

    total: float
    threads: dict[str, float]

    def since(self, before: "Clock", engine_threads: int) -> tuple[float, float]:
        """Seconds since `before`: all, and those outside the engine.

        NOTE: threads have no names here. While text is generated the `engine_threads` busiest are the engine's, and the
        rest (event loop, HTTP, the threads that carry a request, Cog's server) is everybody else's.
        """
        spent = self.total - before.total
        used = [seconds - before.threads.get(thread, 0.0) for thread, seconds in self.threads.items()]
        return spent, max(0.0, spent - sum(sorted(used, reverse=True)[:engine_threads]))


def family(pid: int) -> list[int]:
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
    """utime and stime, fields 14 and 15; the second field is a name in brackets, which may hold blanks."""
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int) -> int:
    """Bytes of a process and its children: their own pages, and what is mapped of each file once for all of them.

    NOTE: neither PSS nor USS: both shrink while a process of somebody else maps the same weights or libraries.
    """
    own, files = 0, dict[tuple[str, ...], int]()
    for process in family(pid):
        with suppress(*GONE):
            own += _kilobytes(Path(f"/proc/{process}/smaps_rollup").read_text(), "Pss_Anon")  # shared by forks alone
            for mapping in MAPPING.split(Path(f"/proc/{process}/smaps").read_text())[1:]:
                _, _, offset, device, inode = mapping.split(maxsplit=5)[:5]
                if inode != "0":
                    here = _kilobytes(mapping, "Rss") - _kilobytes(mapping, "Anonymous")
                    place = (device, inode, offset)
                    files[place] = max(files.get(place, 0), here)
    return 1024 * (own + sum(files.values()))


def _kilobytes(text: str, field: str) -> int:
    return int(text.partition(f"\n{field}:")[2].split(maxsplit=1)[0])


class Peak:
    """The most memory that was seen: four times a second while it is entered (a start), and at every `look`."""

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
    """Waits until these servers are idle; their share of a core then, which is over QUIET where patience ended."""
    pids, deadline = list(pids), time.monotonic() + patience
    while True:
        before, began = sum(clock(pid).total for pid in pids), time.monotonic()
        time.sleep(0.25)
        share = (sum(clock(pid).total for pid in pids) - before) / (time.monotonic() - began)
        if share <= QUIET or time.monotonic() > deadline:
            return share
