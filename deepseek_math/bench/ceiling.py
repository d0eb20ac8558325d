"""What our own code and Cog cost a token, and how many tokens a second they carry, with engines that cost nothing.

A free engine stands in the model's place: in the process (the floor: the service and Cog by themselves), and behind
each adapter in the form that it is used to: vLLM's events over HTTP from a process whose time is not counted, chunks of
llama.cpp's callback, outputs of transformers' manager. Counted is the processor time of all of Cog's processes; "alone"
is engine and completion without Cog, in one process. Where the machine is too busy to keep the pace, more tokens come
at once and each costs less: look at the column. Prints a table for docs/performance.md; the last line is JSON.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from deepseek_math.bench.command import parser_of, status_of
from deepseek_math.bench.free.adapters import ADAPTERS, SLOTS, engine
from deepseek_math.bench.http_program import HttpProgram
from deepseek_math.bench.processes import clock
from deepseek_math.bench.streams import COG_API, BenchError, Reply, ask
from deepseek_math.completion import Completion, complete
from deepseek_math.inputs import BY_NAME
from deepseek_math.local.client import crowd
from deepseek_math.local.server import LocalServer, free_port
from deepseek_math.prompts import Prompt
from deepseek_math.sampling import Sampling
from deepseek_math.terminal import say

STREAMS = (1, 16, 64)
RATE = 60.0  # tokens a second of each stream: about what an H100 gives each of 64 on a 7B
MOST_TOKENS = 900  # of a request
FULL_SPEED_TOKENS = {1: 900, 16: 900, 64: 450}  # of a stream
INPUTS = tuple(BY_NAME[name] for name in ("prompt", "mode", "max_new_tokens", "temperature", "samples"))
READY_SECONDS = 120.0
VOTE = 64  # samples


def _vote_body(prompt: str, tokens: int) -> Mapping[str, Any]:
    return {"input": {"prompt": prompt, "mode": "raw", "max_new_tokens": tokens, "samples": VOTE}}


VOTE_API = replace(COG_API, body=_vote_body)


@dataclass(frozen=True, slots=True)
class Row:
    """One load on one adapter."""

    adapter: str
    load: str  # the number of streams, with "alone" without Cog; or "vote"
    micros: float  # of processor time, a token
    kept: float  # of the pace that was asked for
    carried: float | None = None  # tokens a second at full speed


async def _streams(url: str, streams: int, tokens: int) -> tuple[int, float]:
    """So many requests at once: the tokens of all, and the seconds that they took."""
    began = time.perf_counter()
    replies = [Reply(began) for _ in range(streams)]
    async with crowd(streams) as session:
        prompts = [f"Question {number}?" for number in range(streams)]
        asked = zip(replies, prompts, strict=True)
        await asyncio.gather(*(ask(session, url, COG_API, reply, prompt, tokens) for reply, prompt in asked))
    return sum(reply.tokens for reply in replies), time.perf_counter() - began


async def _vote(url: str, tokens: int) -> tuple[int, float]:
    began = time.perf_counter()
    reply = Reply(began)
    async with crowd(1) as session:
        await ask(session, url, VOTE_API, reply, "Question?", tokens)
    return reply.tokens, time.perf_counter() - began


async def _alone(adapter: str, streams: int, tokens: int, url: str) -> Row:
    """The engine and what takes its deltas, in this process."""
    opened = engine(adapter, RATE, url)
    await opened.start()
    try:
        used, began = time.process_time(), time.perf_counter()
        sampling = Sampling(max_new_tokens=tokens, temperature=1.0)
        await asyncio.gather(*(_complete(opened, replace(sampling, seed=number)) for number in range(streams)))
        used, spent = time.process_time() - used, time.perf_counter() - began
    finally:
        await opened.close()
    return Row(adapter, f"{streams} alone", 1e6 * used / (streams * tokens), _kept(tokens, spent))


async def _complete(opened: Any, sampling: Sampling) -> None:
    async with aclosing(complete(opened, Prompt("raw", "", (5, 6, 7)), sampling, Completion())) as pieces:
        async for _ in pieces:
            pass


def _kept(tokens: int, spent: float) -> float:
    return min(1.0, tokens / RATE / spent)


def measure(adapter: str, streams: Sequence[int], seconds: float, folder: Path) -> list[Row]:
    """All loads on one adapter. Raises BenchError, ServerFailed or httpx.HTTPError."""
    tokens = min(MOST_TOKENS, max(2, round(RATE * seconds)))
    with _completions_server(RATE, folder) as url:
        rows = {"alone": asyncio.run(_alone(adapter, max(streams), tokens, url))}
        say(str(rows["alone"]))
        with _served(adapter, RATE, url, folder) as server:
            assert server.process is not None
            asyncio.run(_vote(server.url, 16))  # what is set up only once is not measured
            loads = [(str(number), partial(_streams, server.url, number, tokens)) for number in streams]
            for load, send in (*loads, ("vote", partial(_vote, server.url, tokens))):
                before = clock(server.process.pid).total
                count, spent = asyncio.run(send())
                used = clock(server.process.pid).total - before
                rows[load] = Row(adapter, load, 1e6 * used / count, _kept(tokens, spent))
                say(str(rows[load]))
    with _completions_server(0.0, folder) as url, _served(adapter, 0.0, url, folder) as server:
        asyncio.run(_streams(server.url, 1, 16))
        for number in streams:
            count, spent = asyncio.run(_streams(server.url, number, FULL_SPEED_TOKENS.get(number, tokens)))
            rows[str(number)] = replace(rows[str(number)], carried=count / spent)
            say(f"{adapter}: {count / spent:.0f} tokens/s at {number} streams")
    return list(rows.values())


@contextmanager
def _served(adapter: str, rate: float, url: str, folder: Path) -> Iterator[LocalServer]:
    """Cog's server with the predictor of one adapter."""
    name = "ceiling_predictor.py"
    shutil.copy(Path(__file__).parent / "free" / name, folder / name)
    environment = {"CEILING_ADAPTER": adapter, "CEILING_RATE": str(rate), "CEILING_URL": url}
    server = LocalServer(
        reference=f"{name}:Predictor", inputs=INPUTS, folder=folder, environment=environment, log=folder / "service.log"
    )
    try:
        server.start().wait_until_ready(READY_SECONDS)
        yield server
    finally:
        server.stop()


@contextmanager
def _completions_server(rate: float, folder: Path) -> Iterator[str]:
    """The address of the remote adapter's server."""
    port = free_port()
    module = "deepseek_math.bench.free.completions_server"
    program = HttpProgram(
        [sys.executable, "-m", module, "--port", str(port), "--rate", str(rate)], port, folder / "completions.log"
    )
    try:
        program.start()
        program.wait_until_ready(READY_SECONDS)
        yield program.url
    finally:
        program.stop()


def table(rows: Sequence[Row]) -> str:
    """Markdown. Beyond the floor: less what the same load costs without an adapter."""
    floor = {row.load: row for row in rows if row.adapter == "free"}
    lines = [
        "| adapter | streams | µs a token | beyond the floor | pace kept | tokens/s at full speed | of the floor's |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lowest = floor.get(row.load)
        load = f"vote of {VOTE}" if row.load == "vote" else row.load
        beyond = "-" if lowest in (None, row) else f"{row.micros - lowest.micros:+.0f}"
        carried, share = "-", "-"
        if row.carried:
            carried = f"{row.carried:,.0f}"
            share = f"{row.carried / lowest.carried:.2f}" if lowest and lowest.carried else "-"
        lines.append(
            f"| {ADAPTERS[row.adapter]} | {load} | {row.micros:.0f} | {beyond} | {row.kept:.0%} | {carried} | {share} |"
        )
    return "\n".join(lines)


def _bench(options: argparse.Namespace) -> None:
    if options.seconds <= 0 or min(options.streams) < 1 or max(options.streams) > SLOTS:
        raise BenchError(f"--seconds over 0, and --streams from 1 to {SLOTS}.")
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for adapter in dict.fromkeys(options.only):
            rows += measure(adapter, options.streams, options.seconds, Path(folder))
    print(table(rows))
    print(json.dumps([asdict(row) for row in rows]), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("bench ceiling", __doc__)
    parser.add_argument("--only", nargs="+", choices=ADAPTERS, default=list(ADAPTERS), help="adapters (default: all)")
    parser.add_argument("--streams", type=int, nargs="+", default=STREAMS, help="at once (default: 1 16 64)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load at its pace (default: 10)")
    options = parser.parse_args(arguments)
    return status_of(lambda: _bench(options))
