"""Rows as people keep them: one column is the question, other inputs may be columns, and the rest is carried along."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from deepseek_math.batch.input_file import Columns
from deepseek_math.batch.row import RESULTS
from deepseek_math.errors import ServiceError
from deepseek_math.inputs import BY_NAME, InputField
from deepseek_math.jobs import JobError
from deepseek_math.jobs.journal import Line
from deepseek_math.other_names import over

QUESTIONS = (
    "prompt",
    "question",
    "problem",
    "query",
    "题目",
    "问题",
)  # columns that hold it, in files that people have


@dataclass(frozen=True, slots=True)
class TableForm:
    """`columns` says which column is which input, `options` the inputs of all rows that have no value of their own.

    `cells` are CSV's: text, where an empty one is not a value. `prefix` stands before the name of each new column.
    """

    columns: Mapping[str, str]
    options: Mapping[str, Any]
    cells: bool
    prefix: str = ""

    def inputs(self, columns: Columns) -> dict[str, Any]:
        own: dict[str, Any] = {}
        for name, column in self.columns.items():
            value = columns.get(column)
            if value is None or (self.cells and value == ""):
                continue
            own[name] = _of_cell(BY_NAME[name], value) if self.cells else value
        inputs = over(self.options, own)
        if "prompt" not in inputs:
            raise ServiceError("prompt_empty", f"The row has no prompt: its {self.columns['prompt']} is empty.")
        return inputs

    def written(self, columns: Columns, line: Line, checkpoint: str) -> Columns:
        new = {self.prefix + name: line[name] for name in RESULTS}
        seed = self.prefix + "seed"  # the one new column that may be there already: see require_room
        if new[seed] is None:
            new[seed] = columns.get(seed)
        return columns | new

    def require_room(self, found: Collection[str]) -> None:
        """Raises JobError where a column that is carried along has the name of a new one."""
        new = {self.prefix + name for name in RESULTS}
        new.discard(self.columns.get("seed", ""))  # the new one has its value, or the one that was drawn
        taken = [name for name in found if name in new]
        if taken:
            raise JobError(
                f"The file has columns called {', '.join(taken)}, as new ones would be. Rename the new ones, with "
                "--prefix model_, for one."
            )


def columns_of_inputs(found: Collection[str], told: Mapping[str, str]) -> dict[str, str]:
    """Which column is which input: as `told`, else by its name. An input that is told not to be a column is left out.

    Raises JobError where the question's column is not there, or could be several.
    """
    for name, column in told.items():
        if column and column not in found:
            raise JobError(f"There is no column {column!r} for {name}. The file has {_listed(found)}.")
    columns = {name: name for name in BY_NAME if name in found} | dict(told)
    columns = {name: column for name, column in columns.items() if column}
    if "prompt" not in columns:
        candidates = [name for name in QUESTIONS if name in found]
        if len(candidates) != 1:
            which = "Several columns could be" if candidates else "No column is called as if it were"
            raise JobError(f"{which} the question. The file has {_listed(found)}. Say which one: --column prompt=NAME")
        columns["prompt"] = candidates[0]
    return columns


def _listed(found: Collection[str]) -> str:
    return ", ".join(found) or "no columns"


def _of_cell(field: InputField, text: str) -> Any:
    """A cell of CSV as the input's type; what is not JSON stays text, which the check of the request then names."""
    if field.kind == "str":
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if field.kind == "list[str]" and not isinstance(value, list):
        return [text]
    return value
