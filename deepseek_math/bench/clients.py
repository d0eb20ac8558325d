"""What 1, 4, 8 and 16 clients at once wait for, from this service and from llama.cpp's own server.

Each client sends one request; all of a load are sent at once. The two servers are started one after the other, so that
weights which fit memory once suffice. CHECKPOINT names a GGUF file; SLOTS, CONTEXT and THREADS hold for both.

    dsm bench seven-b make-gguf 7b.gguf && CHECKPOINT=7b.gguf CONTEXT=512 dsm bench clients

is a usual load at the 7B's shape, where a prompt's characters are as many tokens. Prints a table for
docs/performance.md; the last line is JSON.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

import httpx

from deepseek_math.bench.command import parser_of, status_of
from deepseek_math.bench.contenders import LLAMA_CPP, SERVICE, Running, Terms, running
from deepseek_math.bench.side_by_side import read_terms, require_memory
from deepseek_math.bench.streams import BenchError, Reply, ask
from deepseek_math.bench.workload import prompt
from deepseek_math.local.client import crowd
from deepseek_math.terminal import say

CLIENTS = (1, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class Row:
    """One load on one server. `first` and `seconds` are of the requests that succeeded."""

    server: str
    clients: int
    failed: int
    first: float | None  # seconds to the first text, the median
    seconds: float  # until the last one ended


def text(number: int, characters: int) -> str:
    """A prompt of so many characters; no two are alike."""
    longer = prompt("clients", number) * (1 + characters // 100)
    return longer[:characters]


async def load(one: Running, clients: int, options: argparse.Namespace) -> Row:
    began = time.perf_counter()
    replies = [Reply(began) for _ in range(clients)]
    async with crowd(clients) as session:
        asked = [
            ask(
                session, one.url, one.contender.api, reply, text(100 * clients + number, options.prompt), options.tokens
            )
            for number, reply in enumerate(replies)
        ]
        ends = await asyncio.gather(*asked, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            if not isinstance(end, BenchError | httpx.HTTPError):
                raise end
            say(f"{one.contender.name}, {clients} clients: {end}")
    first = [reply.pieces[0] - reply.sent for reply in replies if reply.ended and reply.pieces]
    last = max((reply.ended for reply in replies if reply.ended), default=time.perf_counter())
    failed = sum(reply.ended is None for reply in replies)
    return Row(one.contender.name, clients, failed, median(first) if first else None, last - began)


def measure(terms: Terms, options: argparse.Namespace) -> list[Row]:
    """Every load on one server, then on the other. Raises BenchError, ServerFailed or OSError."""
    rows = []
    for contender in (SERVICE, LLAMA_CPP):
        require_memory([contender], terms)
        with running(contender, terms) as one:
            say(f"{contender.name} is ready after {one.start_seconds:.1f} s")
            for clients in options.clients:
                rows.append(asyncio.run(load(one, clients, options)))
                say(str(rows[-1]))
    return rows


def table(rows: Sequence[Row]) -> str:
    lines = ["| server | clients | failed | first text, median, s | all done after, s |", "|---|---|---|---|---|"]
    for row in rows:
        first = "-" if row.first is None else f"{row.first:.1f}"
        lines.append(f"| {row.server} | {row.clients} | {row.failed} | {first} | {row.seconds:.1f} |")
    return "\n".join(lines)


def _bench(options: argparse.Namespace) -> int:
    if min(*options.clients, options.prompt, options.tokens) < 1:
        raise BenchError("--clients, --prompt and --tokens: use 1 or more of each.")
    terms = read_terms()
    if terms.weights.suffix != ".gguf":
        raise BenchError(f"{terms.weights} is not a GGUF file, which llama.cpp's server needs.")
    most = options.prompt + options.tokens + 1
    if most > terms.context:
        raise BenchError(f"A request may take {most} tokens, and the context is {terms.context}. Set CONTEXT.")
    say(f"{terms.checkpoint}: {terms.threads} threads, {terms.slots} slots of {terms.context} tokens")
    rows = measure(terms, options)
    print(table(rows))
    print(json.dumps([asdict(row) for row in rows]), flush=True)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("bench clients", __doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS, help="at once (default: 1 4 8 16)")
    parser.add_argument("--prompt", type=int, default=158, help="characters of a prompt (default: 158)")
    parser.add_argument("--tokens", type=int, default=16, help="new tokens of a request (default: 16)")
    options = parser.parse_args(arguments)
    return status_of(lambda: _bench(options))
