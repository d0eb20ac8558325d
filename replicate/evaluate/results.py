"""The results file: a header line with the run's settings, then one line a question, written whole as it is answered.

A kill at any point leaves whole lines and at most one torn at the end, which is cut off at the next start, so no
question is lost or asked twice. When all are answered, the lines are put into the questions' order.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from replicate.evaluate.benchmark import EvaluationError

Line = dict[str, Any]


class Results:
    """Opens FILE to go on with it, or begins it: `with Results(file, settings) as results: results.add(line)`."""

    def __init__(self, file: Path, settings: Line) -> None:
        """Raises EvaluationError where the file is of other settings, no results file, or at work in another run."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        self.lines: list[Line] = []
        self._stream = file.open("a+b")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._stream.close()
            raise EvaluationError(f"{file} is being written by another run. Wait for it, or use --out.") from error
        try:
            self._begin(settings)
        except BaseException:
            self._stream.close()
            raise

    def _begin(self, settings: Line) -> None:
        self._stream.seek(0)
        content = self._stream.read()
        whole = content.rfind(b"\n") + 1
        header, lines = parse(content[:whole], self.file)
        if header is None and content and not _is_torn_header(content, settings):
            raise EvaluationError(f"{self.file} is no results file. Name another with --out.")
        self._stream.truncate(whole)
        if header is None:
            self._write(settings)
        elif header != settings:
            other = sorted(name for name in header | settings if header.get(name) != settings.get(name))
            differences = ", ".join(f"{name} {header.get(name)!r}, now {settings.get(name)!r}" for name in other)
            raise EvaluationError(
                f"{self.file} is of a run with other settings ({differences}). Repeat those, or name another file with "
                "--out."
            )
        self.lines = lines

    @property
    def answered(self) -> set[str]:
        """Ids of the questions that have their line."""
        return {line["id"] for line in self.lines}

    def add(self, line: Line) -> None:
        """Appends one line in one write, past the file system's cache."""
        self._write(line)
        self.lines.append(line)

    def finish(self, ids: Sequence[str]) -> None:
        """Puts the lines into the order of `ids`, whole or not at all."""
        order = {id: place for place, id in enumerate(ids)}
        self.lines.sort(key=lambda line: order[line["id"]])
        self._stream.seek(0)
        header = self._stream.readline()
        part = self.file.with_name(self.file.name + ".part")
        with part.open("wb") as sorted_lines:
            sorted_lines.write(header + b"".join(map(_dump, self.lines)))
            sorted_lines.flush()
            os.fsync(sorted_lines.fileno())
        part.replace(self.file)

    def _write(self, line: Line) -> None:
        data = _dump(line)
        while data:  # a write to a full disk may be partial; its torn line is cut off at the next start
            data = data[os.write(self._stream.fileno(), data) :]
        os.fsync(self._stream.fileno())

    def __enter__(self) -> "Results":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()


def load(file: Path) -> tuple[Line, list[Line]]:
    """Settings and lines of a finished or stopped run. Raises EvaluationError."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{file} can't be read: {error.strerror}.") from error
    header, lines = parse(content[: content.rfind(b"\n") + 1], file)
    if header is None:
        raise EvaluationError(f"{file} is no results file of replicate.evaluate.")
    return header, lines


def parse(content: bytes, file: Path) -> tuple[Line | None, list[Line]]:
    """The header, None where there is none, and the lines after it. Raises EvaluationError for a damaged line."""
    lines: list[Line] = []
    for number, text in enumerate(content.split(b"\n")[:-1], 1):
        try:
            lines.append(json.loads(text))
        except ValueError as error:
            raise EvaluationError(f"{file}, line {number} is no JSON ({error}). Without it, it is repeated.") from error
    if not lines or not all(isinstance(line, dict) for line in lines) or "evaluate" not in lines[0]:
        return None, []
    answered: dict[str, Line] = {}
    for line in lines[1:]:
        answered.setdefault(line["id"], line)
    return lines[0], list(answered.values())


def _is_torn_header(content: bytes, settings: Line) -> bool:
    return b"\n" not in content and _dump(settings).startswith(content)


def _dump(line: Line) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"
