"""Measures `dsm batch` beside a bare client with the same number of requests at once, on a service of CHECKPOINT.

Both send the same rows to the same service, in turn. The bare client posts each row and reads its answer: no stream, no
retry, no file. The last line is JSON with the seconds of each round.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from deepseek_math.bench.command import parser_of, status_of
from deepseek_math.jobs.served import identify
from deepseek_math.local import client
from deepseek_math.local.server import LocalServer
from deepseek_math.terminal import say

TOKENS = 64  # of a completion, at most: of the demo's few are longer


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("bench batch", __doc__)
    parser.add_argument("--rows", type=int, default=2000, help="default: 2000")
    parser.add_argument("--rounds", type=int, default=1, help="default: 1")
    options = parser.parse_args(arguments)
    return status_of(lambda: _bench(options))


def _bench(options: argparse.Namespace) -> None:
    rows = [{"prompt": f"What is {a} + {b}?", "max_new_tokens": TOKENS} for a, b in _sums(options.rows)]
    found: dict[str, list[float]] = {"bare": [], "batch": [], "batch_in_all": []}
    with LocalServer(say=say) as server, tempfile.TemporaryDirectory() as folder:
        in_flight = asyncio.run(identify(server.url)).in_flight
        for number in range(options.rounds):
            found["bare"].append(asyncio.run(_bare(server.url, rows, in_flight)))
            say(f"bare client: {found['bare'][-1]:.1f} s")
            answering, in_all = _batch(server.url, rows, Path(folder) / str(number))
            found["batch"].append(answering)
            found["batch_in_all"].append(in_all)
            say(f"dsm batch: {answering:.1f} s, {in_all:.1f} s with its start, the reading and the writing")
    print(json.dumps({"rows": options.rows, "in_flight": in_flight, "seconds": found}))


def _sums(count: int) -> Iterator[tuple[int, int]]:
    """Two numbers each, no two pairs alike."""
    return ((11 + number % 80, 11 + number // 80) for number in range(count))


async def _bare(url: str, rows: Sequence[dict[str, Any]], in_flight: int) -> float:
    """Seconds that the rows take without anything around them."""
    waiting = iter(rows)

    async def send(session: httpx.AsyncClient) -> None:
        for row in waiting:
            answer = None
            # Cog's server says 409 now and then, when two requests come in the same instant.
            while answer is None or answer.status_code == httpx.codes.CONFLICT:
                answer = await session.post(f"{url}/predictions", json=client.request_body(row), timeout=None)
            assert answer.json()["status"] == "succeeded", answer.text

    async with client.crowd(in_flight) as session:
        began = time.perf_counter()
        await asyncio.gather(*(send(session) for _ in range(in_flight)))
        return time.perf_counter() - began


def _batch(url: str, rows: Sequence[dict[str, Any]], folder: Path) -> tuple[float, float]:
    """Seconds from the first question to the last answer, and of the whole command."""
    folder.mkdir()
    questions, output = folder / "questions.jsonl", folder / "answers.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "deepseek_math", "batch", str(questions), "-o", str(output), "--url", url]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["seconds"], time.perf_counter() - began
