"""One large file over several connections: each response is checked, each finished unit is recorded.

A dropped connection costs nothing: its request is resumed at the byte where it ended. A kill costs at most one unit a
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
from typing import TypeAlias

from deepseek_math.checkpoints import download_faults, redirects
from deepseek_math.checkpoints.download_faults import BadResponse, DownloadAttempts, download_failed
from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.remote_file import RemoteFile, journal_path
from deepseek_math.errors import ServiceError

CONNECTIONS = 8
UNIT = 1 << 20  # bytes
REQUEST_UNITS = 64  # at most in one request: long enough that TCP reaches its speed
BUFFER = 1 << 20  # bytes
COMPRESSED = (".gz", ".tgz", ".bz2", ".xz")

Response: TypeAlias = "urllib.request._UrlopenRet"  # a name of the type checker alone


class Journal:
    """Which units of a partial file are on the disk: a file with one byte for each, so that threads need no lock.

    It counts only for a partial file of the right length. Otherwise it is left over from another, and is removed.
    """

    def __init__(self, part: Path, size: int) -> None:
        self.path = journal_path(part)
        self._size = size
        self.units = -(-size // UNIT)
        if not part.exists() or part.stat().st_size != size:
            self.path.unlink(missing_ok=True)
        recorded = self.path.read_bytes() if self.path.exists() else b""
        self.done = bytearray(recorded.ljust(self.units, b"\0")[: self.units])

    def mark(self, unit: int) -> None:
        self.done[unit] = 1
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            os.pwrite(file.fileno(), b"\1", unit)

    def span(self, unit: int) -> tuple[int, int]:
        """The first byte of a unit and the one after its last."""
        return unit * UNIT, min((unit + 1) * UNIT, self._size)

    def received(self) -> int:
        """Bytes of the units that are on the disk."""
        total = 0
        for unit in range(self.units):
            if self.done[unit]:
                start, end = self.span(unit)
                total += end - start
        return total

    def missing(self) -> Iterator[tuple[int, int]]:
        """The ranges of bytes to request: each begins with a unit, and each connection gets its share."""
        longest = min(REQUEST_UNITS, -(-self.done.count(0) // CONNECTIONS))
        unit = 0
        while unit < self.units:
            if self.done[unit]:
                unit += 1
                continue
            first = unit
            while unit < self.units and not self.done[unit] and unit - first < longest:
                unit += 1
            yield self.span(first)[0], self.span(unit - 1)[1]


def download_ranges(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Downloads what the journal lacks of `file` into `part`. Raises ServiceError, or OSError for a full disk."""
    journal = Journal(part, file.size)
    with part.open("r+b" if part.exists() else "w+b") as target:
        target.truncate(file.size)
        download = _RangeDownload(file, target.fileno(), journal, progress)
        with ThreadPoolExecutor(CONNECTIONS, "download") as threads:
            requests = [threads.submit(download.download_range, *span) for span in journal.missing()]
            try:
                wait(requests)
            finally:
                download.stop.set()  # an interrupt from the keyboard ends the threads too
        if download.error:
            raise download.error


class _RangeDownload:
    """The state that the connections of one file share."""

    def __init__(self, file: RemoteFile, target: int, journal: Journal, progress: Progress) -> None:
        self._file, self._target, self._journal, self._progress = file, target, journal, progress
        self.stop = threading.Event()
        self.error: BaseException | None = None  # the first one

    def download_range(self, start: int, end: int) -> None:
        """Bytes `start` to `end`, in as many attempts as it takes; the first error stops all ranges."""
        try:
            self._with_retries(start, end)
        except BaseException as error:
            self.error = self.error or error
            self.stop.set()

    def _with_retries(self, start: int, end: int) -> None:
        attempts = DownloadAttempts(self._file.label, self._progress.note, sleep=self.stop.wait)
        position = start
        while position < end and not self.stop.is_set():
            before = position
            try:
                for reached in self._read(position, end):
                    position = reached
                    if self.stop.is_set():
                        return
            except (OSError, HTTPException) as error:
                attempts.wait_after(error, progress=position > before)

    def _read(self, start: int, end: int) -> Iterator[int]:
        """Writes one response to the file; yields the position after each buffer."""
        file = self._file
        request = urllib.request.Request(file.url, headers={"Range": f"bytes={start}-{end - 1}"})
        position = start
        with closing(redirects.open_url(request, timeout=download_faults.READ_TIMEOUT)) as response:
            require_same_version(file, response)
            sent = response.headers.get("Content-Range", "")
            if response.status != 206 or sent != f"bytes {start}-{end - 1}/{file.size}":
                raise BadResponse(
                    f"bytes {start}-{end - 1} of {file.size} were requested, the server sent {sent or 'other bytes'}"
                )
            while position < end:
                block = response.read1(min(BUFFER, end - position))  # what has arrived: a stall must not lose it
                if not block:
                    raise BadResponse(f"the server closed the connection at byte {position} of {file.size}")
                write_at(self._target, memoryview(block), position)
                self._progress.add(len(block))
                self._mark(position, position + len(block))
                position += len(block)
                yield position

    def _mark(self, start: int, end: int) -> None:
        """Records the units that end between two positions: ranges begin with a unit and are written in order."""
        for unit in range(start // UNIT, -(-end // UNIT)):
            if start < self._journal.span(unit)[1] <= end:
                if self._file.sha256 is None:
                    os.fdatasync(self._target)  # after a power cut no digest would show the gap
                self._journal.mark(unit)


def download_whole(file: RemoteFile, part: Path, progress: Progress) -> None:
    """The whole file in one response, from a server that sends no parts: each retry starts at the first byte."""
    attempts = DownloadAttempts(file.label, progress.note)
    while True:
        position = 0
        try:
            with (
                closing(redirects.open_url(file.url, timeout=download_faults.READ_TIMEOUT)) as response,
                part.open("wb") as target,
            ):
                require_same_version(file, response)
                while block := response.read(BUFFER):
                    write_at(target.fileno(), memoryview(block), position)
                    position += len(block)
                    progress.add(len(block))
                if position != file.size:
                    raise BadResponse(f"{position} bytes of {file.size} came, and the server sends no parts")
                return
        except (OSError, HTTPException) as error:
            progress.lose(position)
            attempts.wait_after(error)


def require_same_version(file: RemoteFile, response: Response) -> None:
    """Raises ServiceError where the response is of another version than was listed, as far as a digest would not show
    it later, or is compressed."""
    require_uncompressed(file.label, file.path, response)
    size = response.headers.get("Content-Range", "").rpartition("/")[2]
    other_size = size.isdigit() and int(size) != file.size
    other_version = file.sha256 is None and version_of(response) != file.etag
    if other_size or other_version:
        raise ServiceError(
            "download_failed",
            f"{file.path} has changed on the server during the download. Start again to download the new version.",
        )


def require_uncompressed(label: str, path: str, response: Response) -> None:
    """Raises ServiceError. Some servers compress what they send, asked or not; others send a .tar.gz as it is and call
    that an encoding."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity" and not path.endswith(COMPRESSED):
        raise download_failed(label, f"the server sends it compressed ({encoding}), though it was asked not to")


def version_of(response: Response) -> str | None:
    """What tells one version of a file from another."""
    version: str | None = response.headers.get("ETag") or response.headers.get("Last-Modified")
    return version


def write_at(target: int, data: memoryview, position: int) -> None:
    """All of `data` at `position`: the system may take less at once."""
    while data:
        count = os.pwrite(target, data, position)
        data, position = data[count:], position + count
