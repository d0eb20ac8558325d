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


def questions(benchmark: Benchmark, file: Path | None, limit: int | None, kept: Path) -> tuple[list[Question], str]:
    """The first `limit` questions, or all, and where they came from; `kept` is the folder for what the hub gives.

    Raises EvaluationError.
    """
    if file is None and benchmark.hub is None:
        raise EvaluationError(
            f"{benchmark.name} is not on the hub in the published form. Pass its file: --data FILE (JSON lines)."
        )
    found, source = _read(benchmark, file, benchmark.hub.split if benchmark.hub else "", limit, kept)
    if len({question.id for question in found}) < len(found):
        raise EvaluationError(f"{source} holds several questions of one id. Give each its own, or none.")
    return found, source


def shots(benchmark: Benchmark, file: Path | None, count: int | None, kept: Path) -> tuple[Question, ...]:
    """The first worked questions of the training split, or of a file. Raises EvaluationError. See `questions`."""
    if file is None and (benchmark.hub is None or benchmark.hub.train is None):
        raise EvaluationError(
            f"{benchmark.name} has no training split with worked solutions. Pass some: --shots FILE (JSON lines as in "
            'the data set, each with a "solution").'
        )
    wanted = benchmark.shots.count if count is None else count
    split = (benchmark.hub.train if benchmark.hub else None) or ""
    found, source = _read(benchmark, file, split, wanted, kept)
    if len(found) < wanted:
        raise EvaluationError(f"{source} has {len(found)} questions, {wanted} shots need more.")
    if bare := [shot.id for shot in found if not shot.solution]:
        raise EvaluationError(f'{source}: {bare[0]} has no "solution", which a shot needs.')
    return tuple(found)


def _read(
    benchmark: Benchmark, file: Path | None, split: str, limit: int | None, kept: Path
) -> tuple[list[Question], str]:
    source = str(file)
    if file is None:
        assert benchmark.hub is not None
        source = f"{benchmark.hub.name} ({split})"
        file = _from_hub(benchmark.hub, split, limit, kept)
    found: list[Question] = []
    for number, row in _lines(file):
        if len(found) == limit:
            break
        try:
            found.append(_question(benchmark, _Filled(row), f"{benchmark.name}-{len(found)}"))
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise EvaluationError(
                f"{source}, line {number} is not a question of {benchmark.name}: "
                f"{type(error).__name__} {error}. It has {', '.join(row) or 'no fields'}."
            ) from error
    if not found:
        raise EvaluationError(f"{source} holds no question.")
    return found, source


class _Filled(dict[str, Any]):
    """A row whose fields that a question needs are there: `str()` would make an answer of null, the text None."""

    def __getitem__(self, name: str) -> Any:
        if (value := super().__getitem__(name)) is None:
            raise ValueError(f"{name} is null")
        return value


def _question(benchmark: Benchmark, row: Row, id: str) -> Question:
    """Raises ValueError, or whatever reading a row of another form does, where question or answer are no texts."""
    question = benchmark.read(row, str(row.get("id", id)))
    if not isinstance(question.text, str):
        raise ValueError(f"the question is no text: {question.text!r}")
    if not isinstance(question.expected, str) or not any([question.expected.strip(), *question.answers]):
        raise ValueError(f"the answer is no text: {question.expected!r}")
    if benchmark.judging == "choice" and not re.fullmatch("[A-Ga-g]", question.expected):
        raise ValueError(f"the answer is no option's letter: {question.expected!r}")
    return question


def _from_hub(hub: Hub, split: str, limit: int | None, kept: Path) -> Path:
    """The file that holds a split's rows, fetched where it is not there yet: whole or not at all."""
    name = f"{hub.name.replace('/', '--')}-{hub.config}-{split}" + (f"-first{limit}" if limit else "")
    file = kept / f"{name}.jsonl"
    if not file.exists():
        rows = list(hub_rows(hub, split, limit))
        kept.mkdir(parents=True, exist_ok=True)
        write_whole(file, "".join(json.dumps(row) + "\n" for row in rows))
    return file


def _lines(file: Path) -> Iterator[tuple[int, Row]]:
    """Each row with the number of its line."""
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise EvaluationError(f"{file}, line {number} is no JSON object.")
                    yield number, row
    except json.JSONDecodeError as error:
        raise EvaluationError(f"{file}, line {number} is no JSON: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{file} can't be read: {error}.") from error


def hub_rows(hub: Hub, split: str, limit: int | None, viewer: str | None = None) -> Iterator[Row]:
    """Up to `limit` rows of a split, page by page. Raises EvaluationError, which names --data."""
    offset, total = 0, PAGE
    place = {"dataset": hub.name, "config": hub.config, "split": split}
    try:
        with httpx.Client(timeout=60.0, follow_redirects=True) as session:
            while offset < (total if limit is None else min(total, limit)):
                answer = session.get(f"{viewer or VIEWER}/rows", params=place | {"offset": offset, "length": PAGE})
                answer.raise_for_status()
                page = answer.json()
                total = page["num_rows_total"]
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
