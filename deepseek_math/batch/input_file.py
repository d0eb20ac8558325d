"""A file of questions, read row by row: JSON lines, CSV or Parquet. What can't be read is a row with a fault.

JSON lines end at a line feed alone: U+2028 and its like may stand in a text.
"""

import codecs
import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepseek_math.jobs import JobError

FORMATS = {"jsonl": (".jsonl", ".ndjson"), "csv": (".csv",), "tsv": (".tsv",), "parquet": (".parquet", ".pq")}
DELIMITERS = {"csv": ",;", "tsv": "\t"}  # of several the one that the header has most of
CHUNK = 1000  # rows of Parquet that are read at once
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in the file; `fault` says why it can't be read, and its columns are then empty."""

    number: int  # from 1
    columns: Columns
    fault: str = ""


def format_of(file: Path, told: str | None = None) -> str:
    """The key of FORMATS that a file's name ends in, unless it is told. Raises JobError."""
    if told:
        return told
    for name, endings in FORMATS.items():
        if file.name.lower().endswith(endings):
            return name
    known = ", ".join(ending for endings in FORMATS.values() for ending in endings)
    raise JobError(f"{file} ends in none of {known}, so its format is unknown. Rename it, or say it with --format.")


def rows(file: Path, format: str) -> Iterator[RawRow]:
    """Each row of the file. Raises JobError where the file itself can't be read."""
    try:
        if format == "parquet":
            yield from _parquet(file)
            return
        _require_utf_8(file)
        if format == "jsonl":
            yield from _json_lines(file)
        else:
            yield from _csv(file, DELIMITERS[format])
    except OSError as error:
        raise JobError(f"{file} can't be read: {error.strerror or error}.") from error


def _require_utf_8(file: Path) -> None:
    with file.open("rb") as stream:
        if stream.read(2) in UTF_16:
            raise JobError(f"{file} is UTF-16. Save it as UTF-8.")


def _json_lines(file: Path) -> Iterator[RawRow]:
    number = 0
    with file.open("rb") as stream:
        for place, line in enumerate(stream, 1):
            text = line.removeprefix(codecs.BOM_UTF8) if place == 1 else line
            if text.strip():
                number += 1
                yield _json_row(number, place, text)


def _json_row(number: int, place: int, text: bytes) -> RawRow:
    try:
        columns = json.loads(text.decode(), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        return RawRow(number, {}, f"Line {place} is not UTF-8 at byte {error.start + 1}.")
    except (ValueError, RecursionError) as error:
        return RawRow(number, {}, f"Line {place} is not valid JSON ({error}).")
    if not isinstance(columns, dict):
        return RawRow(number, {}, f'Line {place} is not a JSON object such as {{"prompt": "1+1?"}}.')
    return RawRow(number, columns)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")


def _csv(file: Path, delimiters: str) -> Iterator[RawRow]:
    csv.field_size_limit(sys.maxsize)
    line = 1
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter=max(delimiters, key=first.count), strict=True)
            header = next(reader, [])
            _require_unlike(header, file)
            number = 0
            for cells in reader:
                line = reader.line_num
                if cells:
                    number += 1
                    yield _csv_row(number, line, header, cells)
    except csv.Error as error:
        raise JobError(f"{file} is not valid CSV after line {line}: {error}.") from error
    except UnicodeDecodeError as error:
        raise JobError(f"{file} is not UTF-8 after line {line} ({error.reason}). Save it as UTF-8.") from error


def _require_unlike(header: list[str], file: Path) -> None:
    for name in header:
        if header.count(name) > 1:
            raise JobError(f"{file} has {header.count(name)} columns called {name!r}. Give each a name of its own.")


def _csv_row(number: int, place: int, header: list[str], cells: list[str]) -> RawRow:
    if len(cells) != len(header):
        fault = f"The row that ends in line {place} has {len(cells)} cells, and the header has {len(header)}."
        return RawRow(number, {}, fault)
    return RawRow(number, dict(zip(header, cells, strict=True)))


def _parquet(file: Path) -> Iterator[RawRow]:
    pyarrow = import_pyarrow()
    try:
        number = 0
        for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=CHUNK):
            for columns in batch.to_pylist():
                number += 1
                yield RawRow(number, columns)
    except pyarrow.ArrowException as error:
        raise JobError(f"{file} can't be read as Parquet: {error}") from error


def import_pyarrow() -> Any:
    """The package pyarrow with its module parquet. Raises JobError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise JobError("Parquet needs the package pyarrow. Install it with: make setup-evaluate") from error
    return pyarrow
