"""What our own code and Cog cost a token, and how many tokens a second they carry, with engines that cost nothing.

A free engine stands in the model's place: in the process (the floor: the service and Cog by themselves), and behind
each adapter in the form that it is used to: vLLM's events over HTTP from a process whose time is not counted, chunks of
llama.cpp's callback, outputs of transformers' manager. Counted is the processor time of all of Cog's processes, which
other work on the machine changes little. Prints a table for docs/performance.md; the last line is JSON.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from deepseek_math.bench.http_program import HttpProgram
from deepseek_math.bench.processes import clock
from deepseek_math.bench.streams import COG_API, BenchError, Reply, ask
from deepseek_math.inputs import BY_NAME
from deepseek_math.local.client import crowd
from deepseek_math.local.server import LocalServer, ServerFailed, free_port
from deepseek_math.signals import run_until_stopped

FAILED = 1
ADAPTERS = {  # as --only names them
    "free": "none (the floor)",
    "remote": "remote, vLLM's events",
    "llama_cpp": "llama.cpp",
    "transformers": "transformers",
}
STREAMS = (1, 16, 64)
SLOTS, CONTEXT = 64, 1024
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
    load: str  # the number of streams, or "vote"
    micros: float  # of processor time, a token
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


def measure(adapter: str, streams: Sequence[int], seconds: float, folder: Path) -> list[Row]:
    """All loads on one adapter. Raises BenchError, ServerFailed or httpx.HTTPError."""
    tokens = min(MOST_TOKENS, round(RATE * seconds))
    rows: dict[str, Row] = {}
    with _Served(adapter, RATE, folder) as server:
        asyncio.run(_vote(server.url, 16))  # what is set up only once is not measured
        loads = [(str(number), partial(_streams, server.url, number, tokens)) for number in streams]
        for load, send in (*loads, ("vote", partial(_vote, server.url, tokens))):
            before = clock(server.pid).total
            count, _ = asyncio.run(send())
            rows[load] = Row(adapter, load, 1e6 * (clock(server.pid).total - before) / count)
            _say(str(rows[load]))
    with _Served(adapter, 0.0, folder) as server:
        asyncio.run(_streams(server.url, 1, 16))
        for number in streams:
            count, spent = asyncio.run(_streams(server.url, number, FULL_SPEED_TOKENS.get(number, tokens)))
            rows[str(number)] = replace(rows[str(number)], carried=count / spent)
            _say(f"{adapter}: {count / spent:.0f} tokens/s at {number} streams")
    return list(rows.values())


class _Served:
    """Cog's server with the predictor of one adapter, and with the remote one's server."""

    def __init__(self, adapter: str, rate: float, folder: Path) -> None:
        self._adapter, self._rate, self._folder = adapter, rate, folder

    def __enter__(self) -> "_Served":
        with ExitStack() as stack:
            environment = {"CEILING_ADAPTER": self._adapter, "CEILING_RATE": str(self._rate)}
            if self._adapter == "remote":
                environment["CEILING_URL"] = self._start_completions_server(stack)
            name = "ceiling_predictor.py"
            shutil.copy(Path(__file__).parent / "free" / name, self._folder / name)
            server = LocalServer(
                reference=f"{name}:Predictor",
                inputs=INPUTS,
                folder=self._folder,
                environment=environment,
                log=self._folder / "service.log",
            )
            stack.callback(server.stop)
            server.start().wait_until_ready(READY_SECONDS)
            assert server.process is not None
            self.url, self.pid = server.url, server.process.pid
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _start_completions_server(self, stack: ExitStack) -> str:
        port = free_port()
        module = "deepseek_math.bench.free.completions_server"
        command = [sys.executable, "-m", module, "--port", str(port), "--rate", str(self._rate)]
        program = HttpProgram(command, port, self._folder / "completions.log")
        stack.callback(program.stop)
        program.start()
        program.wait_until_ready(READY_SECONDS)
        return program.url


def table(rows: Sequence[Row]) -> str:
    """Markdown. Beyond the floor: less what the same load costs without an adapter."""
    floor = {row.load: row for row in rows if row.adapter == "free"}
    lines = [
        "| adapter | streams | µs a token | beyond the floor | tokens/s at full speed | of the floor's |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lowest = floor.get(row.load)
        load = f"vote of {VOTE}" if row.load == "vote" else row.load
        beyond = "-" if lowest in (None, row) else f"{row.micros - lowest.micros:+.0f}"
        carried, share = "-", "-"
        if row.carried:
            carried = f"{row.carried:,.0f}"
            share = f"{row.carried / lowest.carried:.2f}" if lowest and lowest.carried else "-"
        lines.append(f"| {ADAPTERS[row.adapter]} | {load} | {row.micros:.0f} | {beyond} | {carried} | {share} |")
    return "\n".join(lines)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _bench(options: argparse.Namespace) -> int:
    if options.seconds <= 0 or min(options.streams) < 1 or max(options.streams) > SLOTS:
        raise BenchError(f"--seconds over 0, and --streams from 1 to {SLOTS}.")
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for adapter in dict.fromkeys(options.only):
            rows += measure(adapter, options.streams, options.seconds, Path(folder))
    print(table(rows))
    print(json.dumps([asdict(row) for row in rows]), flush=True)
    return 0


def _status(options: argparse.Namespace) -> int:
    try:
        return _bench(options)
    except (BenchError, ServerFailed, OSError, httpx.HTTPError) as error:
        _say(f"bench: {error}")
        return FAILED


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dsm bench ceiling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=ADAPTERS, default=list(ADAPTERS), help="adapters (default: all)")
    parser.add_argument("--streams", type=int, nargs="+", default=STREAMS, help="at once (default: 1 16 64)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load at its pace (default: 10)")
    options = parser.parse_args(arguments)
    return run_until_stopped(lambda: _status(options), "bench: stopped, and its servers with it")
