"""Asks services the rows of a file. Each becomes a line of the journal, a row that fails too."""

import json
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx

from deepseek_math.batch.row import RESULTS, Row
from deepseek_math.jobs.asking import AskingFailed, ask, at_once
from deepseek_math.jobs.journal import Line
from deepseek_math.local import client


@dataclass(frozen=True, slots=True)
class RowAsker:
    """Rows as Ray's workers ask them: each is JSON, made by `packed`."""

    async def answers(self, items: Sequence[str], url: str, in_flight: int) -> AsyncGenerator[Line, None]:
        rows = [Row(item["number"], {}, item["inputs"]) for item in map(json.loads, items)]
        async with aclosing(answers(rows, [url], in_flight)) as lines:
            async for line in lines:
                yield line


def packed(row: Row) -> str:
    return json.dumps({"number": row.number, "inputs": row.inputs})


async def answers(rows: Iterable[Row], urls: Sequence[str], in_flight: int) -> AsyncGenerator[Line, None]:
    """One line a row, in the order that they are answered, with `in_flight` at once at each address. Raises JobError
    when no service answers any more."""
    async with client.crowd(in_flight * len(urls)) as session:

        async def answer(row: Row, url: str) -> Line:
            return await _answer(row, session, url)

        async with aclosing(at_once(rows, answer, urls, in_flight)) as lines:
            async for line in lines:
                yield line


async def _answer(row: Row, session: httpx.AsyncClient, url: str) -> Line:
    """The row's line. Raises AskingFailed where the service is gone."""
    try:
        prediction = await ask(session, url, row.inputs)
    except AskingFailed as failure:
        if failure.gone:
            raise
        prediction = failure.prediction or {}
        error = {"error_code": failure.code or "row_invalid", "error": _sentence(failure)}
        return line_of(row, _results(prediction) | error)
    return line_of(row, _results(prediction))


def _sentence(failure: AskingFailed) -> str:
    """Why, without the words of Cog before it and without the code."""
    if not failure.prediction:
        return str(failure)
    text = str(failure.prediction.get("error"))
    text = text.partition("ServiceError: ")[2] or text
    return text.removeprefix(f"{failure.code}: ")


def _results(prediction: dict[str, Any]) -> Line:
    """The metrics and the text. Signs of doubt are one text, as a column holds no list; null where there are none."""
    metrics = prediction.get("metrics") or {}
    doubts = ", ".join(metrics.get("doubts", [])) or None
    return metrics | {"completion": "".join(prediction.get("output") or ""), "doubts": doubts}


def line_of(row: Row, results: Line) -> Line:
    """The row's line in the journal: what is not among the results is null."""
    known = {name: results.get(name) for name in RESULTS}
    return {"row": row.number, "key": f"{row.key:016x}", "at": int(time.time()), **known}
