"""Measures what `dsm openai` costs: its streams beside those of /predictions, on a service of CHECKPOINT.

Both ask the same service for the same texts in turn, one stream at a time and 16 at once. The door's processor time is
that of its own process. The last line is JSON.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median

import httpx

from deepseek_math.bench.command import parser_of, status_of
from deepseek_math.bench.processes import clock
from deepseek_math.bench.streams import COG_API, OPENAI_API, Api, BenchError, Reply, ask
from deepseek_math.local import client
from deepseek_math.local.server import LocalServer, free_port
from deepseek_math.terminal import say

STREAMS = (1, 16)  # at once
START_SECONDS = 60.0
STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over all requests of one way; of the door also its processor time."""

    way: str
    streams: int
    first_ms: float  # from the request to the first text
    token_ms: float  # from one token to the next
    tokens: int
    events: int
    door_us_a_token: float | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("bench door", __doc__)
    parser.add_argument("--rounds", type=int, default=10, help="default: 10")
    parser.add_argument("--tokens", type=int, default=200, help="of a text, at most (default: 200)")
    return status_of(lambda: _bench(parser.parse_args(arguments)))


def _bench(options: argparse.Namespace) -> None:
    found = []
    with LocalServer(say=say) as server, _door(server.url) as (door_url, pid):
        ways = (("/predictions", server.url, COG_API), ("the door", door_url, OPENAI_API))
        for streams in STREAMS:
            replies: dict[str, list[Reply]] = {way: [] for way, *_ in ways}
            before = clock(pid).total
            for number in range(options.rounds + 1):
                for way, url, api in ways:  # in turn, as the machine may be busier with other work for a while
                    replies[way] += asyncio.run(_round(url, api, streams, number, options.tokens))
                if number == 0:  # what is set up at first is not counted
                    replies = {way: [] for way in replies}
                    before = clock(pid).total
            spent = {"the door": clock(pid).total - before}
            for way, said in replies.items():
                found.append(_figures(way, streams, said, spent.get(way)))
                say(_line(found[-1]))
    print(json.dumps([asdict(figures) for figures in found]))


@contextmanager
def _door(url: str) -> Iterator[tuple[str, int]]:
    """Its address and its process, once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "deepseek_math", "openai", "--url", url, "--port", str(port)]
    process = subprocess.Popen(command)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/health", process)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    with client.http(timeout=5.0) as session:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if session.get(address).is_success:
                    return
            except httpx.ConnectError:
                time.sleep(0.1)
    raise BenchError("The door did not start. Try: dsm openai")


async def _round(url: str, api: Api, streams: int, number: int, tokens: int) -> list[Reply]:
    """So many streams at once, each of a text of its own."""
    prompts = [f"{number + 11} + {index + 11} =" for index in range(streams)]
    async with client.crowd(streams) as session:
        replies = [Reply(time.perf_counter()) for _ in range(streams)]
        await asyncio.gather(
            *(ask(session, url, api, reply, prompt, tokens) for reply, prompt in zip(replies, prompts, strict=True))
        )
    return replies


def _figures(way: str, streams: int, replies: Sequence[Reply], spent: float | None) -> Figures:
    several = [reply for reply in replies if reply.tokens > 1 and reply.pieces and reply.ended]
    tokens = sum(reply.tokens for reply in replies)
    return Figures(
        way,
        streams,
        first_ms=1000 * median(reply.pieces[0] - reply.sent for reply in several),
        token_ms=1000 * median(((reply.ended or 0) - reply.pieces[0]) / (reply.tokens - 1) for reply in several),
        tokens=tokens,
        events=sum(len(reply.pieces) for reply in replies),
        door_us_a_token=None if spent is None else 1e6 * spent / tokens,
    )


def _line(figures: Figures) -> str:
    cost = "" if figures.door_us_a_token is None else f", {figures.door_us_a_token:.0f} us of the door's processor each"
    return (
        f"{figures.streams:2} at once by {figures.way}: first text after {figures.first_ms:.1f} ms, "
        f"{figures.token_ms:.2f} ms a token{cost} ({figures.tokens} tokens in {figures.events} events)"
    )
