"""The results file: a journal whose lines are answered questions. When all are, they are sorted into their order."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from deepseek_math.files import write_whole
from deepseek_math.jobs import JobError
from deepseek_math.jobs.journal import Journal, Line, dump, parse_header, parse_lines

KIND = "evaluate"  # the header's first key
FORMAT = 4  # of the file, and of the graders


class Results(Journal):
    """Opens FILE to go on with it, or begins it: `with Results(file, settings) as results: results.keep(line)`."""

    def __init__(self, file: Path, settings: Line, notes: Line | None = None) -> None:
        """Raises JobError where FILE has other settings, is not a results file, or another run has locked it."""
        super().__init__(file, KIND, FORMAT)
        try:
            self.answered = _answered(self.lines(), file) if self.header else []
            self.begin(settings, notes)
        except BaseException:
            self.close()
            raise

    @property
    def ids(self) -> set[str]:
        """Ids of the questions that have their line."""
        return {line["id"] for line in self.answered}

    def keep(self, line: Line) -> None:
        """Adds an answered question."""
        self.add(line)
        self.answered.append(line)

    def finish(self, ids: Sequence[str]) -> None:
        """Sorts the lines in the order of `ids`, whole or not at all.

        Raises JobError unless each question has exactly one line.
        """
        order = {id: number for number, id in enumerate(ids)}
        counts = Counter(line["id"] for line in self.answered)
        wrong = [id for id in {*order, *counts} if counts[id] != (id in order)]
        if wrong:
            raise JobError(
                f"{self.file} is incomplete or damaged: {len(wrong)} questions are missing, have two lines or are not "
                f"of this run, for example {min(wrong)}."
            )
        assert self.header is not None
        self.answered.sort(key=lambda line: order[line["id"]])
        write_whole(self.file, b"".join(map(dump, [self.header, *self.answered])))


def load(file: Path) -> tuple[Line, list[Line]]:
    """Settings and lines of a finished or stopped run. Raises JobError."""
    try:
        with file.open("rb") as stream:
            header = parse_header(stream.readline(), file, KIND, FORMAT)
            if header is None:
                raise JobError(f"{file} is not a results file of dsm evaluate.")
            stream.seek(0)
            return header, _answered(parse_lines(stream, file), file)
    except OSError as error:
        raise JobError(f"{file} can't be read: {error.strerror}.") from error


def _answered(lines: Iterator[tuple[int, Line]], file: Path) -> list[Line]:
    """Raises JobError for a second line of the same question."""
    answered: list[Line] = []
    seen = set[str]()
    for number, (_, line) in enumerate(lines, 2):
        id = line.get("id") if isinstance(line, dict) else None
        if id is None or id in seen:
            fault = "has no question's id" if id is None else f"is the second one of {id}"
            raise JobError(f"{file}, line {number} {fault}. Remove it to go on.")
        seen.add(id)
        answered.append(line)
    return answered
