"""The results file: a header line with the run's settings, then one line a question, written whole as it is answered.

A kill at any point leaves complete lines and at most one torn at the end, which is cut off at the next start, so no
question is lost or asked twice. When all are answered, the lines are sorted into the questions' order.
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

FORMAT = 4  # of the file, and of the graders
MARK = b'{"evaluate": '  # what a header begins with

Line = dict[str, Any]


class Results:
    """Opens FILE to go on with it, or begins it: `with Results(file, settings) as results: results.add(line)`.

    `notes` go into a new file's header too, but are not settings: the same questions from another `source` are the same
    run.
    """

    def __init__(self, file: Path, settings: Line, notes: Line | None = None) -> None:
        """Raises EvaluationError where FILE has other settings, is not a results file, or another run has locked it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        self.lines: list[Line] = []
        self._stream = file.open("a+b")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._stream.close()
            raise EvaluationError(
                f"{file} is locked: another run is writing to it. Wait for it, or name another file with --out."
            ) from error
        try:
            self._begin(settings, notes or {})
        except BaseException:
            self._stream.close()
            raise

    def _begin(self, settings: Line, notes: Line) -> None:
        self._stream.seek(0)
        content = self._stream.read()
        complete = content.rfind(b"\n") + 1
        header, lines = parse(content[:complete], self.file)
        torn_header = complete == 0 and content[: len(MARK)] == MARK[: len(content)]
        if header is None and not torn_header:
            raise EvaluationError(f"{self.file} is not a results file. Name another with --out.")
        if header is None or not lines:  # no answer is lost
            self._stream.truncate(0)
            self._write(settings | notes)
            return
        differences = _differences(header, settings, notes)
        if differences:
            raise EvaluationError(
                f"{self.file} is of a run with other settings ({differences}). Repeat those, or name another file with "
                "--out."
            )
        self._stream.truncate(complete)
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
        """Sorts the lines in the order of `ids`, whole or not at all.

        Raises EvaluationError unless each question has exactly one line.
        """
        order = {id: number for number, id in enumerate(ids)}
        counts = Counter(line["id"] for line in self.lines)
        wrong = [id for id in {*order, *counts} if counts[id] != (id in order)]
        if wrong:
            raise EvaluationError(
                f"{self.file} is incomplete or damaged: {len(wrong)} questions are missing, have two lines or are not "
                f"of this run, for example {min(wrong)}."
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
        raise EvaluationError(f"{file} is not a results file of dsm evaluate.")
    return header, lines


def parse(content: bytes, file: Path) -> tuple[Line | None, list[Line]]:
    """The header, None where there is none, and the lines after it. Raises EvaluationError for a damaged line, for a
    second line of the same question, and for a file of another format."""
    header, *texts = content.split(b"\n")[:-1] or [b""]
    try:
        settings = json.loads(header)
    except ValueError:
        return None, []
    if not isinstance(settings, dict) or "evaluate" not in settings:
        return None, []
    if settings["evaluate"] != FORMAT:
        raise EvaluationError(
            f"{file} has format {settings['evaluate']}, this version reads {FORMAT}. Name another file with --out."
        )
    lines: list[Line] = []
    seen = set[str]()
    for number, text in enumerate(texts, 2):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise EvaluationError(
                f"{file}, line {number} is not valid JSON ({error}). Remove it: its question is then asked again."
            ) from error
        id = line.get("id") if isinstance(line, dict) else None
        if id is None or id in seen:
            fault = "has no question's id" if id is None else f"is the second one of {id}"
            raise EvaluationError(f"{file}, line {number} {fault}. Remove it to go on.")
        seen.add(id)
        lines.append(line)
    return settings, lines


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


def _dump(line: Line) -> bytes:
    try:
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a UTF-16 pair, in a question that was refused for it
        return json.dumps(line).encode() + b"\n"
