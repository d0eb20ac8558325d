"""How far a download is: a bar on a terminal, a line every few seconds in a log."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable

from deepseek_math.checkpoints.remote_file import format_bytes

LOG_SECONDS = 5.0
NOTE_SECONDS = 1.0
BAR_SECONDS = 0.1
BAR_WIDTH = 30
WINDOW = 20  # the reports over which the speed is taken


class Progress:
    """Counts bytes from many threads. `received` is what earlier starts have downloaded of `total` bytes."""

    def __init__(self, name: str, total: int, received: int, report: Callable[[str], None]) -> None:
        self._name, self._total, self._report = name, total, report
        self._terminal = sys.stderr.isatty()
        self._every = BAR_SECONDS if self._terminal else LOG_SECONDS
        self._lock = threading.Lock()
        self.received, self.downloaded = received, 0  # `downloaded` counts this start alone
        self._noted = -NOTE_SECONDS
        self._reports = deque([(time.monotonic(), 0)], WINDOW)

    def add(self, size: int) -> None:
        """`size` more bytes have been downloaded."""
        with self._lock:
            self.received += size
            self.downloaded += size
            now = time.monotonic()
            if now - self._reports[-1][0] >= self._every:
                self._reports.append((now, self.downloaded))
                self._show(self.line())

    def lose(self, size: int) -> None:
        """`size` bytes have to be downloaded again."""
        with self._lock:
            self.received -= size

    def note(self, text: str) -> None:
        """A line about a fault after which the download goes on."""
        with self._lock:
            now = time.monotonic()
            if now - self._noted >= NOTE_SECONDS:  # a hundred drops are not a hundred lines
                self._noted = now
                if self._terminal:
                    print("\r\033[K", end="", file=sys.stderr)
                self._report(text)

    def line(self) -> str:
        """Such as: rl  35 %  4.8 GB of 13.8 GB, 210.0 MB/s, 43 s left. A total of 0 is unknown."""
        (first, before), (last, after) = self._reports[0], self._reports[-1]
        speed = (after - before) / (last - first) if last > first else 0.0
        rate = f"{speed / 1e6:.1f} MB/s"
        if not self._total:
            return f"{self._name}  {format_bytes(self.received)}, {rate}"
        amount = f"{format_bytes(self.received)} of {format_bytes(self._total)}"
        line = f"{self._name}  {int(100 * self._share())} %  {amount}, {rate}"
        if speed:
            line += f", {_duration(max(0, self._total - self.received) / speed)} left"
        return line

    def _share(self) -> float:
        return min(1.0, max(0.0, self.received / self._total))

    def close(self) -> None:
        if self._terminal:
            self._show(self.line())
            print(file=sys.stderr)

    def _show(self, line: str) -> None:
        if not self._terminal:
            self._report(line)
            return
        bar = ""
        if self._total:
            done = int(BAR_WIDTH * self._share())
            bar = f"[{'#' * done}{'.' * (BAR_WIDTH - done)}] "
        print(f"\r\033[K{bar}{line}", end="", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min"
