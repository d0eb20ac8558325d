"""The results file: a header line with the run's settings, then one line a question, written whole as it is answered.

A kill at any point leaves whole lines and at most one torn at the end, which is cut off at the next start, so no
question is lost or asked twice. When all are answered, the lines are put into the questions' order.
"""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from deepseek_math.evaluation.benchmark import EvaluationError
from deepseek_math.files import write_whole

FORMAT = 2  # of the file
MARK = b'{"evaluate": '  # what a header begins with

Line = dict[str, Any]


class Results:
    """Opens FILE to go on with it, or begins it: `with Results(file, settings) as results: results.add(line)`.

    `notes` go into a new file's header too, but are no settings: the same questions from another `source` are the same
    run.
    """

    def __init__(self, file: Path, settings: Line, notes: Line | None = None) -> None:
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
            self._begin(settings, notes or {})
        except BaseException:
            self._stream.close()
            raise

    def _begin(self, settings: Line, notes: Line) -> None:
        self._stream.seek(0)
        content = self._stream.read()
        whole = content.rfind(b"\n") + 1
        header, lines = parse(content[:whole], self.file)
        if header is None and (whole or content[: len(MARK)] != MARK[: len(content)]):
            raise EvaluationError(f"{self.file} is no results file. Name another with --out.")
        if header is None or not lines:  # nothing is lost
            self._stream.truncate(0)
            self._write(settings | notes)
            return
        if differences := _differences(header, settings, notes):
            raise EvaluationError(
                f"{self.file} is of a run with other settings ({differences}). Repeat those, or name another file with "
                "--out."
            )
        self._stream.truncate(whole)
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
        """Puts the lines into the order of `ids`, whole or not at all. Raises EvaluationError unless each is there
        exactly once."""
        order = {id: place for place, id in enumerate(ids)}
        counts = Counter(line["id"] for line in self.lines)
        if wrong := [id for id in {*order, *counts} if counts[id] != (id in order)]:
            raise EvaluationError(
                f"{self.file} is not whole: {len(wrong)} questions are missing, there twice or not of this run, "
                f"{min(wrong)} among them."
            )
        self.lines.sort(key=lambda line: order[line["id"]])
        self._stream.seek(0)
        header = self._stream.readline()
        write_whole(self.file, header + b"".join(map(_dump, self.lines)))

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
        raise EvaluationError(f"{file} is no results file of deepseek_math.evaluation.")
    return header, lines


def parse(content: bytes, file: Path) -> tuple[Line | None, list[Line]]:
    """The header, None where there is none, and the lines after it. Raises EvaluationError for a damaged line, for a
    second one of one question, and for a file of another format."""
    lines: list[Line] = []
    for number, text in enumerate(content.split(b"\n")[:-1], 1):
        try:
            lines.append(json.loads(text))
        except ValueError as error:
            if number == 1:  # no header, so no file of ours
                return None, []
            raise EvaluationError(f"{file}, line {number} is no JSON ({error}). Without it, it is repeated.") from error
    if not lines or not all(isinstance(line, dict) for line in lines) or "evaluate" not in lines[0]:
        return None, []
    if lines[0]["evaluate"] != FORMAT:
        raise EvaluationError(f"{file} has format {lines[0]['evaluate']}, this is for {FORMAT}. Use another --out.")
    found = set[str]()
    for number, line in enumerate(lines[1:], 2):
        if (id := line.get("id")) is None or id in found:
            raise EvaluationError(
                f"{file}, line {number} is "
                + ("of no question" if id is None else f"the second one of {id}")
                + ". Remove it to go on."
            )
        found.add(id)
    return lines[0], lines[1:]


def _differences(header: Line, settings: Line, notes: Line) -> str:
    names = [name for name in settings if header.get(name) != settings[name]]
    told = [f"{name} {header.get(name)!r}, now {settings[name]!r}" for name in names if name != "digest"]
    if "digest" in names:  # which says nothing to people
        before, now = header.get("source"), notes.get("source")
        moved = f": they were from {before}, and are now from {now}"
        sources = moved if before != now else f", though from {now} as before"
        told.append(f"other questions or shots{sources}")
    return "; ".join(told)


def _dump(line: Line) -> bytes:
    try:
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a UTF-16 pair, in a question that was refused for it
        return json.dumps(line).encode() + b"\n"
