"""What is in the file, looked at before anything is asked: how many rows, which columns, what is wrong with them."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from deepseek_math.batch.input_file import RawRow
from deepseek_math.batch.row import Row
from deepseek_math.jobs import JobError


@dataclass(slots=True)
class Survey:
    """A row takes 8 bytes here, so that a file of millions fits. Rows count from 0."""

    keys: "array[int]" = field(default_factory=lambda: array("Q"))  # of each row
    faulty: "array[int]" = field(default_factory=lambda: array("Q"))  # rows that can't be asked
    first_fault: str = ""
    columns: dict[str, None] = field(default_factory=dict)  # names, in the order of their first row
    inputs: set[str] = field(default_factory=set)  # that some row sets

    @classmethod
    def of(cls, rows: Iterable[Row], file: str) -> "Survey":
        """Raises JobError for a file without a row, or without one that can be asked."""
        survey = cls()
        for row in rows:
            survey._add(row)
        if not survey.keys:
            raise JobError(f"{file} has no rows.")
        if len(survey.faulty) == len(survey.keys):
            raise JobError(
                f"None of the {len(survey.keys)} rows of {file} can be asked, so none was. {survey.first_fault}"
            )
        return survey

    def _add(self, row: Row) -> None:
        if row.fault:
            self.faulty.append(len(self.keys))
            self.first_fault = self.first_fault or f"Row {row.number}: {row.fault}"
        self.keys.append(row.key)
        self.columns.update(dict.fromkeys(row.columns))
        self.inputs.update(row.inputs)


def require_own_ids(rows: Iterable[RawRow]) -> None:
    """Raises JobError where two of OpenAI's rows have the same custom_id: their answers could not be told apart."""
    seen: dict[int, int] = {}  # 64 bits of each id: the texts of a large file would fill the memory
    for row in rows:
        id = row.columns.get("custom_id")
        if not isinstance(id, str):
            continue
        first = seen.setdefault(hash(id), row.number)
        if first != row.number:
            raise JobError(f"Rows {first} and {row.number} have the same custom_id, {id!r}. Give each its own.")
