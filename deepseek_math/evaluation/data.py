"""A benchmark's questions: from a file of JSON lines, or from a data set on the hub by the hub's own HTTP API.

What came from the hub is kept as a file of JSON lines, so that a run that goes on needs no network.

The API is the dataset viewer's `GET /rows?dataset&config&split&offset&length`, which answers with at most 100
rows, each `{"row": {...}, "truncated_cells": [...]}`, and `num_rows_total`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from deepseek_math.evaluation.benchmark import Benchmark, EvaluationError, Hub, Question, Row
from deepseek_math.files import write_whole

VIEWER = "https://datasets-server.huggingface.co"
PAGE = 100  # rows; the most that the viewer gives at once
LETTERS = r"[A-Ga-g]|[A-G](?:[\s,]*[A-G])+"  # the label of a choice; some of Gaokao MathQA's have several


def questions(benchmark: Benchmark, file: Path | None, limit: int | None, kept: Path) -> tuple[list[Question], str]:
    """The first `limit` questions, or all, and where they came from; `kept` is the folder for what the hub gives.

    Raises EvaluationError.
    """
    if file is None and benchmark.hub is None:
        raise EvaluationError(
            f"{benchmark.name} is not on the hub in the published form. Pass its file: --data FILE (JSON lines)."
        )
    split = benchmark.hub.split if benchmark.hub else None
    found, source = _read(benchmark, file, split, limit, kept)
    if len({question.id for question in found}) < len(found):
        raise EvaluationError(f"{source} has several questions with the same id. Give each its own, or give none.")
    return found, source


def shots(benchmark: Benchmark, file: Path | None, count: int | None, kept: Path) -> tuple[Question, ...]:
    """The first `count` worked questions (None: as many as published) of the training split, or of a file.

    Raises EvaluationError. See `questions` for `kept`.
    """
    split = benchmark.hub.train if benchmark.hub else None
    if file is None and split is None:
        raise EvaluationError(
            f"{benchmark.name} has no training split with worked solutions. Pass some: --shots FILE (JSON lines as in "
            'the data set, each with a "solution").'
        )
    wanted = benchmark.shots.count if count is None else count
    found, source = _read(benchmark, file, split, wanted, kept)
    if len(found) < wanted:
        raise EvaluationError(f"{source} has {len(found)} questions, but {wanted} shots were asked for.")
    for shot in found:
        if not shot.solution:
            raise EvaluationError(f'{shot.id} in {source} has no "solution", which a shot needs.')
    return tuple(found)


def _read(
    benchmark: Benchmark, file: Path | None, split: str | None, limit: int | None, kept: Path
) -> tuple[list[Question], str]:
    """The questions of the file, else of the hub's split, and where they came from."""
    source = str(file)
    if file is None:
        assert benchmark.hub is not None
        assert split is not None
        source = f"{benchmark.hub.name} ({split})"
        file = _from_hub(benchmark.hub, split, limit, kept)
    found: list[Question] = []
    for number, row in _lines(file):
        if len(found) == limit:
            break
        try:
            found.append(_question(benchmark, row, f"{benchmark.name}-{len(found)}"))
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise EvaluationError(
                f"{source}, line {number} is not a question of {benchmark.name}: "
                f"{_fault(error)}. Its fields: {', '.join(row) or 'none'}."
            ) from error
    if not found:
        raise EvaluationError(f"{source} has no questions.")
    return found, source


class _WithoutNull(dict[str, Any]):
    """A row that raises ValueError for a null field: `str()` would make the answer None of it."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if value is None:
            raise ValueError(f"{name} is null")
        return value


def _question(benchmark: Benchmark, row: Row, id: str) -> Question:
    """Raises ValueError, or whatever reading a row of another form does, where question or answer are not text."""
    question = benchmark.read(_WithoutNull(row), str(row.get("id", id)))
    if not isinstance(question.text, str):
        raise ValueError(f"the question is not text: {question.text!r}")
    if not isinstance(question.expected, str) or not any([question.expected.strip(), *question.answers]):
        raise ValueError(f"the answer is not text, or empty: {question.expected!r}")
    if benchmark.judging == "choice" and not re.fullmatch(LETTERS, question.expected):
        raise ValueError(f"the answer is not the letter of an option: {question.expected!r}")
    return question


def _from_hub(hub: Hub, split: str, limit: int | None, kept: Path) -> Path:
    """The file that holds a split's rows. It is fetched if it is missing: whole or not at all."""
    first = "" if limit is None else f"-first{limit}"
    name = f"{hub.name.replace('/', '--')}-{hub.config}-{split}{first}"
    file = kept / f"{name}.jsonl"
    if not file.exists():
        rows = list(hub_rows(hub, split, limit))
        kept.mkdir(parents=True, exist_ok=True)
        write_whole(file, "".join(json.dumps(row) + "\n" for row in rows))
    return file


def _lines(file: Path) -> Iterator[tuple[int, Row]]:
    """Each row with the number of its line. Raises EvaluationError."""
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise EvaluationError(f"{file}, line {number} is not a JSON object.")
                yield number, row
    except json.JSONDecodeError as error:
        raise EvaluationError(f"{file}, line {number} is not valid JSON: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{file} can't be read: {error}.") from error


def hub_rows(hub: Hub, split: str, limit: int | None, viewer: str | None = None) -> Iterator[Row]:
    """Up to `limit` rows of a split, page by page. Raises EvaluationError, which names --data."""
    url = f"{viewer or VIEWER}/rows"
    query: dict[str, str | int] = {"dataset": hub.name, "config": hub.config, "split": split}
    offset, total = 0, PAGE if limit is None else limit
    try:
        with httpx.Client(timeout=60.0, follow_redirects=True) as session:
            while offset < total:
                response = session.get(url, params=query | {"offset": offset, "length": min(PAGE, total - offset)})
                response.raise_for_status()
                page = response.json()
                total = page["num_rows_total"]
                if limit is not None:
                    total = min(total, limit)
                for item in page["rows"]:
                    if item.get("truncated_cells"):
                        raise ValueError(f"row {offset} came cut short")
                    yield item["row"]
                    offset += 1
                if not page["rows"]:
                    raise ValueError(f"{offset} of {total} rows came")
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"{hub.name} could not be read from the hub ({type(error).__name__}: {error}). Check the network, or pass "
            "the questions as a file: --data FILE (JSON lines)."
        ) from error


def _fault(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no field {error}"
    return f"{type(error).__name__} {error}"
