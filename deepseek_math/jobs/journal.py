"""A job's journal: a header line with the run's settings, then one line an answer, written whole as it comes.

A kill at any point leaves complete lines and at most one torn at the end, which is cut off at the next start, so no
answer is lost or asked for twice. A power cut may also take the last second's.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from deepseek_math.jobs import JobError

SYNC_SECONDS = 1.0  # between two calls that force lines to the disk, each of which takes milliseconds

Line = dict[str, Any]


class Journal:
    """Opens FILE to go on with it, or begins it: `with Journal(...) as journal: journal.begin(settings)`.

    `kind` is the header's first key and `format` its value. `option` is how the command names another file.
    """

    def __init__(self, file: Path, kind: str, format: int, option: str = "--out") -> None:
        """Raises JobError where FILE is not such a journal, or another run has locked it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        self._kind, self._format, self._option = kind, format, option
        self._synced = time.monotonic()
        self._thread = ThreadPoolExecutor(1)  # a disk that is slow must not keep the answers waiting
        self._syncing: Future[None] | None = None
        self._stream = file.open("a+b")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.header = self._read_header()
        except BlockingIOError as error:
            self._stream.close()
            raise JobError(
                f"{file} is locked: another run is writing to it. Wait for it, or name another file with {option}."
            ) from error
        except BaseException:
            self._stream.close()
            raise

    def _read_header(self) -> Line | None:
        """None where there is no line behind it, so that no answer is lost when the journal begins anew. Cuts a torn
        last line off."""
        self._stream.seek(0)
        mark = f'{{"{self._kind}": '.encode()
        first = self._stream.readline()
        if not first.endswith(b"\n"):
            header, torn = None, mark.startswith(first[: len(mark)])
        else:
            header, torn = parse_header(first, self.file, self._kind, self._format, self._option), False
        if header is None and not torn:
            raise JobError(f"{self.file} is not a results file. Name another with {self._option}.")
        size = end = len(first)
        for line in self._stream:
            size += len(line)
            if line.endswith(b"\n"):
                end = size
        if header is None or end == len(first):
            return None
        self._stream.truncate(end)
        return header

    def require(self, settings: Line, notes: Line | None = None) -> None:
        """Raises JobError where the answers are of other settings. `notes` are not settings: the same questions from
        another `source` are the same run."""
        if self.header is None:
            return
        differences = _differences(self.header, settings, notes or {})
        if differences:
            raise JobError(
                f"{self.file} is of a run with other settings ({differences}). Repeat those, or name another file with "
                f"{self._option}."
            )

    def begin(self, settings: Line, notes: Line | None = None) -> None:
        """As `require`; writes the header where there is no answer yet."""
        self.require(settings, notes)
        if self.header is None:
            self.header = {self._kind: self._format} | settings | (notes or {})
            self._stream.truncate(0)
            self.add(self.header)

    def lines(self) -> Iterator[tuple[int, Line]]:
        """Each line behind the header, with the place where it begins. Raises JobError for a damaged one."""
        with self.file.open("rb") as stream:
            yield from parse_lines(stream, self.file)

    def add(self, line: Line) -> int:
        """Appends one line; the place where it begins, in bytes."""
        data = dump(line)
        place = os.lseek(self._stream.fileno(), 0, os.SEEK_END)
        while data:  # a write to a full disk may be partial; its torn line is cut off at the next start
            data = data[os.write(self._stream.fileno(), data) :]
        if time.monotonic() - self._synced > SYNC_SECONDS and (self._syncing is None or self._syncing.done()):
            self._require_synced()
            self._syncing = self._thread.submit(os.fsync, self._stream.fileno())
            self._synced = time.monotonic()
        return place

    def _require_synced(self) -> None:
        """Raises OSError where the disk has refused the lines before."""
        if self._syncing is not None:
            self._syncing.result()

    def close(self) -> None:
        try:
            self._require_synced()
            os.fsync(self._stream.fileno())
        finally:
            self._thread.shutdown()
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def parse_header(first: bytes, file: Path, kind: str, format: int, option: str = "--out") -> Line | None:
    """The header that FILE's first line is; None where it is not one. Raises JobError for another format."""
    try:
        header = json.loads(first)
    except ValueError:
        return None
    if not isinstance(header, dict) or kind not in header:
        return None
    if header[kind] != format:
        raise JobError(
            f"{file} has format {header[kind]}, this version reads {format}. Name another file with {option}."
        )
    return header


def parse_lines(stream: BinaryIO, file: Path) -> Iterator[tuple[int, Line]]:
    """Each complete line behind the header, with the place where it begins. Raises JobError for a damaged one."""
    place = len(stream.readline())
    for number, text in enumerate(stream, 2):
        if not text.endswith(b"\n"):
            return
        try:
            yield place, json.loads(text)
        except ValueError as error:
            raise JobError(
                f"{file}, line {number} is not valid JSON ({error}). Remove it: its question is then asked again."
            ) from error
        place += len(text)


def dump(line: Line) -> bytes:
    """The line as JSON, in one line of UTF-8; what JSON has no type for, such as a date, as text, and NaN as null."""
    try:
        return json.dumps(line, ensure_ascii=False, default=str, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a UTF-16 pair, in a question that was refused for it
        return json.dumps(line, default=str).encode() + b"\n"
    except ValueError:  # NaN or an infinity, of a Parquet file
        return dump(_finite(line))


def _finite(value: Any) -> Any:
    """The value with null for each number that is none in JSON."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _differences(header: Line, settings: Line, notes: Line) -> str:
    """What sets a file's run apart from this one, for people; empty where nothing does."""
    names = [name for name in settings if header.get(name) != settings[name]]
    differences = [f"{name} {header.get(name)!r}, now {settings[name]!r}" for name in names if name != "digest"]
    if "digest" in names:  # its value tells people nothing
        before, now = header.get("source"), notes.get("source")
        if before == now:
            differences.append(f"other questions or shots, though from {now} as before")
        else:
            differences.append(f"other questions or shots: they were from {before}, and are now from {now}")
    return "; ".join(differences)
