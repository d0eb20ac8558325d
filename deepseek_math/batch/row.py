"""A row of the file as a request, checked before anything is asked."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Protocol

from deepseek_math.batch.input_file import Columns, RawRow
from deepseek_math.errors import ServiceError
from deepseek_math.jobs.journal import Line
from deepseek_math.request import Request

# What is said of each row, by the name that it gets in the output; most are metrics of the same name.
RESULTS = {
    "completion": str,
    "answer": str,
    "answer_source": str,
    "agreement": float,
    "correct": bool,
    "doubts": str,
    "finish_reason": str,
    "prompt_tokens": int,
    "completion_tokens": int,
    "seed": int,
    "error_code": str,
    "error": str,
}
UNWRITTEN = ("return_samples", "logprobs")  # inputs whose results have no column


class Form(Protocol):
    """What a row of the file looks like; `prefix` stands before the name of each new column."""

    @property
    def prefix(self) -> str: ...

    def inputs(self, columns: Columns) -> dict[str, Any]:
        """The service's inputs. Raises ServiceError for a row that makes none."""

    def written(self, columns: Columns, line: Line, checkpoint: str) -> Columns:
        """The row as it is written with what the journal says of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """`inputs` are the request; a row that makes none, or a wrong one, has a `fault` instead."""

    number: int  # from 1
    columns: Columns
    inputs: dict[str, Any]
    fault: ServiceError | None = None

    @property
    def key(self) -> int:
        """64 bits of what is asked: the same wherever the row stands, and whatever else is in it."""
        asked = {"fault": str(self.fault)} if self.fault else self.inputs
        text = json.dumps(asked, sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def checked(raw: RawRow, form: Form) -> Row:
    """The request that a row makes. Nothing is raised for a bad one."""
    try:
        if raw.fault:
            raise ServiceError("row_invalid", raw.fault)
        inputs = form.inputs(raw.columns)
        Request.checked(**inputs)
        for name in UNWRITTEN:
            if inputs.get(name):
                raise ServiceError("row_invalid", f"{name} is asked for, and there is no column for it. Leave it out.")
    except ServiceError as fault:
        return Row(raw.number, raw.columns, {}, fault)
    return Row(raw.number, raw.columns, inputs)
