"""One large file over several connections, each answer checked, each finished unit written down.

A drop costs nothing: the same connection's part goes on at the byte where it ended. A kill costs at most one unit a
connection: the journal beside the file has one byte for each unit, set when the unit is on the disk.
"""

import os
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from http.client import HTTPException
from pathlib import Path

from deepseek_math.checkpoints import remote_file
from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.remote_file import Interrupted, Patience, RemoteFile, failed
from deepseek_math.errors import ServiceError

CONNECTIONS = 8
UNIT = 1 << 20  # bytes
PIECE = 64  # units a request at most: long enough that TCP reaches its speed
BUFFER = 1 << 20  # bytes


class Journal:
    """Which units of a file are on the disk: a file of one byte each, so that threads need no lock.

    It counts for a part of the right length only: beside none, or another, it is what a file that is gone has left.
    """

    def __init__(self, part: Path, size: int) -> None:
        self.path = part.with_name(part.name + ".done")
        self._size = size
        self.units = -(-size // UNIT)
        if not part.exists() or part.stat().st_size != size:
            self.path.unlink(missing_ok=True)
        done = self.path.read_bytes() if self.path.exists() else b""
        self.done = bytearray(done.ljust(self.units, b"\0")[: self.units])

    def mark(self, unit: int) -> None:
        self.done[unit] = 1
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            os.pwrite(file.fileno(), b"\1", unit)

    def span(self, unit: int) -> tuple[int, int]:
        """The first byte of a unit and the one after its last."""
        return unit * UNIT, min((unit + 1) * UNIT, self._size)

    def bytes(self) -> int:
        spans = [self.span(unit) for unit in range(self.units) if self.done[unit]]
        return sum(end - start for start, end in spans)

    def missing(self) -> Iterator[tuple[int, int]]:
        """Runs of bytes that are not there, which begin with a unit, cut so that each connection gets its share."""
        piece = min(PIECE, -(-self.done.count(0) // CONNECTIONS))
        unit = 0
        while unit < self.units:
            if self.done[unit]:
                unit += 1
                continue
            first = unit
            while unit < self.units and not self.done[unit] and unit - first < piece:
                unit += 1
            yield self.span(first)[0], self.span(unit - 1)[1]


def carry(file: RemoteFile, part: Path, journal: Journal, progress: Progress) -> None:
    """Fetches what the journal misses of `file` into `part`. Raises ServiceError, or OSError for a full disk."""
    with part.open("r+b" if part.exists() else "w+b") as target:
        target.truncate(file.size)
        fetch = _Fetch(file, target.fileno(), journal, progress)
        with ThreadPoolExecutor(CONNECTIONS, "download") as threads:
            pieces = [threads.submit(fetch.piece, *span) for span in journal.missing()]
            try:
                wait(pieces)
            finally:
                fetch.stop.set()  # an interrupt from the keyboard ends the threads too
        if fetch.fault:
            raise fetch.fault


class _Fetch:
    """The state that the connections of one file share."""

    def __init__(self, file: RemoteFile, target: int, journal: Journal, progress: Progress) -> None:
        self._file, self._target, self._journal, self._progress = file, target, journal, progress
        self.stop = threading.Event()
        self.fault: BaseException | None = None

    def piece(self, start: int, end: int) -> None:
        """Bytes `start` to `end`, over as many connections as it takes; the first fault stops all pieces."""
        try:
            patience = Patience(self._file.label, self._progress.note, sleep=self.stop.wait)
            position = start
            while position < end and not self.stop.is_set():
                before = position
                try:
                    for reached in self._read(position, end):
                        position = reached
                        if self.stop.is_set():
                            return
                except (OSError, HTTPException) as error:
                    patience.after(error, progress=position > before)
        except BaseException as error:
            self.fault = self.fault or error
            self.stop.set()

    def _read(self, start: int, end: int) -> Iterator[int]:
        """Writes one answer to its place; yields the position after each buffer."""
        file = self._file
        request = urllib.request.Request(file.url, headers={"Range": f"bytes={start}-{end - 1}"})
        position = start
        with closing(urllib.request.urlopen(request, timeout=remote_file.SILENCE)) as answer:
            require_same(file, answer)
            said = answer.headers.get("Content-Range", "")
            if answer.status != 206 or said != f"bytes {start}-{end - 1}/{file.size}":
                raise Interrupted(
                    f"asked for bytes {start}-{end - 1} of {file.size}, the server sent {said or 'others'}"
                )
            while position < end:
                block = answer.read1(min(BUFFER, end - position))  # what is there: a stall must not take it along
                if not block:
                    raise Interrupted(f"the server closed the connection at byte {position} of {file.size}")
                write(self._target, memoryview(block), position)
                self._progress.add(len(block))
                self._mark(position, position + len(block))
                position += len(block)
                yield position

    def _mark(self, start: int, end: int) -> None:
        """Units that end between the two positions are whole: pieces begin with a unit and are written in order."""
        for unit in range(start // UNIT, -(-end // UNIT)):
            if start < self._journal.span(unit)[1] <= end:
                if self._file.sha256 is None:
                    os.fdatasync(self._target)  # after a power cut nobody would see the gap
                self._journal.mark(unit)


def require_same(file: RemoteFile, answer: "urllib.request._UrlopenRet") -> None:
    """The answer is of the file that was listed, where only its ETag could show another, and of its own bytes."""
    require_plain(file.label, file.path, answer)
    total = answer.headers.get("Content-Range", "").rpartition("/")[2]
    if (file.sha256 is None and validator(answer) != file.etag) or (total.isdigit() and int(total) != file.size):
        raise ServiceError(
            "download_failed",
            f"{file.path} has changed on the server while it was downloaded. Start again: the new one will be fetched.",
        )


def require_plain(label: str, path: str, answer: "urllib.request._UrlopenRet") -> None:
    """Some servers compress what they send, asked or not. Others call a .tar.gz itself an encoding, and send it."""
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding != "identity" and not path.endswith((".gz", ".tgz", ".bz2", ".xz")):
        raise failed(label, f"the server sends it compressed ({encoding}), though it was asked not to")


def validator(answer: "urllib.request._UrlopenRet") -> str | None:
    """What tells one version of a file from another."""
    said: str | None = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    return said


def stream(file: RemoteFile, part: Path, progress: Progress) -> None:
    """The whole file in one answer, where no parts of it can be had: every drop starts it anew."""
    patience = Patience(file.label, progress.note)
    while True:
        position = 0
        try:
            with (
                closing(urllib.request.urlopen(file.url, timeout=remote_file.SILENCE)) as answer,
                part.open("wb") as target,
            ):
                require_same(file, answer)
                while block := answer.read(BUFFER):
                    write(target.fileno(), memoryview(block), position)
                    position += len(block)
                    progress.add(len(block))
                if position != file.size:
                    raise Interrupted(f"{position} bytes of {file.size} came, and the server sends no parts")
                return
        except (OSError, HTTPException) as error:
            progress.lose(position)
            patience.after(error)


def write(target: int, data: memoryview, position: int) -> None:
    """All of `data` at `position`: the system may take less at once."""
    while data:
        count = os.pwrite(target, data, position)
        data, position = data[count:], position + count
