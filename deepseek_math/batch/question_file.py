"""The file of questions, which can be read again and again, and what its rows look like."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from deepseek_math.batch import input_file, openai_form
from deepseek_math.batch.openai_form import OpenAIForm
from deepseek_math.batch.row import Form, Row, checked
from deepseek_math.batch.survey import Survey, require_own_ids
from deepseek_math.batch.table_form import TableForm, columns_of_inputs
from deepseek_math.jobs import JobError

HEAD = 100  # rows that say which columns there are


@dataclass(frozen=True, slots=True)
class Questions:
    """`name` is the file's for people: a pipe's content lies in another."""

    file: Path
    name: str
    format: str
    form: Form

    def rows(self) -> Iterator[Row]:
        """Raises JobError where the file can't be read."""
        for raw in input_file.rows(self.file, self.format):
            yield checked(raw, self.form)

    def survey(self) -> Survey:
        """Raises JobError for a file that can't be answered as it is."""
        survey = Survey.of(self.rows(), self.name)
        if isinstance(self.form, TableForm):
            self.form.require_room(survey.columns)
        else:
            require_own_ids(input_file.rows(self.file, self.format))
        return survey


def open_questions(
    file: Path, name: str, format: str, inputs: Mapping[str, Any], told: Mapping[str, str], prefix: str
) -> Questions:
    """`inputs` are those of all rows, `told` says which column is which input. Raises JobError."""
    readable = (raw.columns for raw in input_file.rows(file, format) if not raw.fault)
    head = list(islice(readable, HEAD))
    if any(map(openai_form.is_batch, head)):
        if told or prefix:
            raise JobError(f"{name} is a batch file of OpenAI's, which --column and --prefix mean nothing to.")
        return Questions(file, name, format, OpenAIForm(inputs))
    found = dict.fromkeys(column for columns in head for column in columns)
    columns = {"prompt": "prompt"}
    if found:  # else the survey says what is wrong
        columns = columns_of_inputs(found, told)
    return Questions(file, name, format, TableForm(columns, inputs, format in input_file.DELIMITERS, prefix))
