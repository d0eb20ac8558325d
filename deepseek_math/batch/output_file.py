"""The rows with their answers, in their order: JSON lines, CSV or Parquet."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from deepseek_math.batch.input_file import CHUNK, DELIMITERS, Columns, import_pyarrow
from deepseek_math.batch.row import RESULTS
from deepseek_math.jobs import JobError
from deepseek_math.jobs.journal import dump

ARROW_TYPES = {str: "string", float: "float64", bool: "bool", int: "int64"}


def write(file: Path, format: str, names: Sequence[str], schema: Any, rows: Iterable[Columns]) -> None:
    """Writes the rows; `names` are the columns of CSV, `schema` is Parquet's. Raises OSError."""
    if format == "jsonl":
        with file.open("wb") as stream:
            stream.writelines(map(dump, rows))
    elif format == "parquet":
        _parquet(file, schema, rows)
    else:
        _csv(file, DELIMITERS[format][0], names, rows)


def _csv(file: Path, delimiter: str, names: Sequence[str], rows: Iterable[Columns]) -> None:
    # Half a UTF-16 pair, which JSON lines may hold, is written as JSON does: \ud83d.
    with file.open("w", encoding="utf-8", newline="", errors="backslashreplace") as stream:
        writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow([_cell(row.get(name)) for name in names])


def _cell(value: Any) -> str:
    """A text as it is, anything else as JSON; no value is an empty cell."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _parquet(file: Path, schema: Any, rows: Iterable[Columns]) -> None:
    pyarrow = import_pyarrow()
    with _explained(pyarrow), pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for chunk in _chunks(rows):
            writer.write_table(pyarrow.Table.from_pylist(chunk, schema))


@contextmanager
def _explained(pyarrow: Any) -> Iterator[None]:
    """Turns what pyarrow can't hold into a JobError."""
    try:
        yield
    except (pyarrow.ArrowException, UnicodeEncodeError) as error:
        raise JobError(
            f"The columns can't be written as Parquet ({error}). Name an output that ends in .jsonl."
        ) from error


def parquet_schema(rows: Iterable[Columns], prefix: str) -> Any:
    """The types of the rows' columns, and behind them those of the new ones. Raises JobError where a column has values
    of two types."""
    pyarrow = import_pyarrow()
    schema = pyarrow.schema([])
    with _explained(pyarrow):
        for chunk in _chunks(rows):
            names = dict[str, None]()
            for row in chunk:  # pyarrow takes the columns of the first row for those of all
                names.update(dict.fromkeys(row))
            table = pyarrow.Table.from_pylist([names | row for row in chunk])
            schema = pyarrow.unify_schemas([schema, table.schema], promote_options="permissive")
    new = [pyarrow.field(prefix + name, ARROW_TYPES[type]) for name, type in RESULTS.items()]
    carried = [column for column in schema if column.name not in {field.name for field in new}]
    return pyarrow.schema(carried + new)


def _chunks(rows: Iterable[Columns]) -> Iterator[list[Columns]]:
    waiting = iter(rows)
    while chunk := list(islice(waiting, CHUNK)):
        yield chunk
