"""A benchmark's questions: from a file of JSON lines, or from a data set on the hub by the hub's own HTTP API.

The API is the dataset viewer's `GET /rows?dataset&config&split&offset&length`, which answers with at most 100
rows, each `{"row": {...}, "truncated_cells": [...]}`, and `num_rows_total`.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx

from replicate.evaluate.benchmark import Benchmark, EvaluationError, Hub, Question, Row

VIEWER = "https://datasets-server.huggingface.co"
PAGE = 100  # rows; the most that the viewer gives at once


def questions(benchmark: Benchmark, file: Path | None, limit: int | None) -> list[Question]:
    """The first `limit` questions, or all. Raises EvaluationError."""
    if file is None and benchmark.hub is None:
        raise EvaluationError(
            f"{benchmark.name} is not on the hub in the published form. Pass its file: --data FILE (JSON lines)."
        )
    found = _read(benchmark, file, benchmark.hub, benchmark.hub.split if benchmark.hub else "", limit)
    if len({question.id for question in found}) < len(found):
        raise EvaluationError(f"{file} holds several questions of one id. Give each its own, or none.")
    return found


def shots(benchmark: Benchmark, file: Path | None, count: int | None) -> tuple[Question, ...]:
    """The first worked questions of the training split, or of a file. Raises EvaluationError."""
    if file is None and (benchmark.hub is None or benchmark.hub.train is None):
        raise EvaluationError(
            f"{benchmark.name} has no training split with worked solutions. Pass some: --shots FILE (JSON lines as in "
            'the data set, each with a "solution").'
        )
    wanted = benchmark.shots.count if count is None else count
    split = (benchmark.hub.train if benchmark.hub else None) or ""
    found = _read(benchmark, file, benchmark.hub, split, wanted)
    if len(found) < wanted:
        raise EvaluationError(f"{file or 'The training split'} has {len(found)} questions, {wanted} shots need more.")
    if bare := [shot.id for shot in found if not shot.solution]:
        raise EvaluationError(f'{file or "The training split"}: {bare[0]} has no "solution", which a shot needs.')
    return tuple(found)


def _read(benchmark: Benchmark, file: Path | None, hub: Hub | None, split: str, limit: int | None) -> list[Question]:
    rows: Iterable[Row]
    if file is not None:
        rows, source = _lines(file), str(file)
    else:
        assert hub is not None
        rows, source = hub_rows(hub, split, limit), f"{hub.name} ({split})"
    found: list[Question] = []
    for place, row in enumerate(rows):
        if limit is not None and place == limit:
            break
        try:
            found.append(benchmark.read(row, str(row.get("id", f"{benchmark.name}-{place}"))))
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EvaluationError(
                f"{source}, row {place + 1} is not a question of {benchmark.name}: "
                f"{type(error).__name__} {error}. It has {', '.join(row) or 'no fields'}."
            ) from error
    if not found:
        raise EvaluationError(f"{source} holds no question.")
    return found


def _lines(file: Path) -> Iterator[Row]:
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise EvaluationError(f"{file}, line {number} is no JSON object.")
                    yield row
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
