"""What a contender is put through, one load at a time, and what came of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx

from deepseek_math.bench.contenders import Running
from deepseek_math.bench.processes import clock, settle
from deepseek_math.bench.streams import Reply, ask
from deepseek_math.bench.workload import prompt
from deepseek_math.local.client import crowd

ENOUGH = 3  # replies after which a contender that serves one at a time has shown its speed
BESIDE, NEWCOMERS = 15, 3
PATIENCE = 10.0  # seconds that a newcomer waits beside the others
LONGER = (
    4  # times the usual number of tokens: the others should not end while newcomers come; a sample says if they did
)


@dataclass(frozen=True, slots=True)
class Load:
    """`streams` clients at once, which send `requests` in all."""

    streams: int
    requests: int


LOADS = (Load(1, 3), Load(4, 8), Load(16, 16))


@dataclass(frozen=True, slots=True)
class Sample:
    """One load on one contender. Seconds, tokens a second, and shares of one core."""

    speed: float
    first: list[float]  # seconds to the first text, by request
    waited: list[float]  # of the requests that got none: how long they were waited for
    gaps: list[float]
    prompt_tokens: list[int]  # by request, 0 where the reply did not end
    tokens: int  # of the replies that ended, as the server counts them
    processor: float  # seconds, all of the server
    outside: float | None  # of them, outside the engine; of the seeds' way, whose engine is Python, not known
    restless: float  # share of a core that all contenders took when the load began; over QUIET: never idle before it
    beside: int | None  # of newcomers: the fewest others that were at work (or in line) as one was sent
    others: float  # share of a core that the idle contenders took meanwhile
    client: float  # share of a core that the bench itself took
    seconds: float


@asynccontextmanager
async def _together(jobs: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[set["asyncio.Task[None]"]]:
    """Runs `jobs`; those still at work at the end are stopped, which closes their connections."""
    tasks = {asyncio.create_task(job) for job in jobs}
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _raise_faults(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


async def _let_end(one: Running, replies: Sequence[Reply], tasks: Collection[asyncio.Task[Any]]) -> None:
    """Waits for what a server of one request at a time may be at work on; what it refuses is not asked for again.

    NOTE: Cog (0.23.1) cancels a sync predictor by an exception thrown into a thread. Seen once: a prediction that
    waited for ever for a thread it had just started, and that was gone. A cancel that came late may have met it.
    """
    if one.contender.queues:
        for reply in replies:
            reply.left = time.perf_counter()
        await asyncio.gather(*tasks)


async def _put(one: Running, load: Load, prompts: Sequence[str], tokens: int) -> list[Reply]:
    """Every stream takes the next prompt when its last reply has ended. Raises BenchError."""
    waiting, replies = iter(prompts), list[Reply]()
    enough = asyncio.Event()
    need = min(ENOUGH, len(prompts)) if one.contender.queues else len(prompts)

    async def stream(session: httpx.AsyncClient) -> None:
        for text in waiting:
            reply = Reply(time.perf_counter())
            replies.append(reply)
            await ask(session, one.url, one.contender.protocol, reply, text, tokens)
            if sum(reply.ended is not None for reply in replies) >= need:
                enough.set()

    async with (
        crowd(LOADS[-1].streams) as session,
        _together([stream(session) for _ in range(load.streams)]) as streams,
    ):
        over = asyncio.create_task(enough.wait())
        pending: set[asyncio.Task[Any]] = {over, *streams}
        while not enough.is_set():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        for _ in waiting:  # nobody takes another
            pass
        await _let_end(one, replies, streams)
    return replies


async def _newcomers(one: Running, prompts: Sequence[str], tokens: int) -> list[Reply]:
    """New requests, one after the other, beside BESIDE that are at work already (or that wait in line)."""
    protocol = one.contender.protocol
    others = [Reply(time.perf_counter()) for _ in range(BESIDE)]
    need = 1 if one.contender.queues else BESIDE
    replies = []
    async with crowd(LOADS[-1].streams) as session:
        asked = [
            ask(session, one.url, protocol, reply, text, LONGER * tokens)
            for reply, text in zip(others, prompts[:BESIDE], strict=True)
        ]
        async with _together(asked) as tasks:
            while sum(bool(reply.pieces or reply.ended) for reply in others) < need:
                _raise_faults(tasks)
                await asyncio.sleep(0.01)
            for text in prompts[BESIDE:]:
                reply = Reply(time.perf_counter(), beside=sum(other.ended is None for other in others))
                replies.append(reply)
                newcomer = asyncio.create_task(ask(session, one.url, protocol, reply, text, 1))
                tasks.add(newcomer)
                done, _ = await asyncio.wait({newcomer}, timeout=PATIENCE)
                if one.contender.queues:  # the second would wait as long
                    break
                if not done:
                    tasks.discard(newcomer)
                    newcomer.cancel()
                    reply.left = time.perf_counter()
                await asyncio.gather(newcomer, return_exceptions=not done)
                _raise_faults(tasks)
            await _let_end(one, [*others, *replies], tasks)
    return replies


def _prompts(load: Load | None, place: object) -> list[str]:
    count = load.requests if load else BESIDE + NEWCOMERS
    return [prompt(place, load and load.streams, number) for number in range(count)]


def context_needed(tokens: int, rounds: int) -> int:
    """Tokens that the longest request may take: a tokenizer makes no more of a text than its bytes and a BOS."""
    sizes = (len(text.encode()) for place in range(rounds) for text in _prompts(None, place))
    return LONGER * tokens + max(sizes) + 1


def measure(one: Running, load: Load | None, place: object, tokens: int, idle: Sequence[Running]) -> Sample:
    """Puts `load` on a contender, or newcomers where it is None, once all servers are idle. Raises BenchError.

    Where they do not become so in `settle`'s patience it goes on, and the sample's `restless` says so.
    `place` and the load name the prompts: contenders that are given the same ones read the same.
    """
    prompts = _prompts(load, place)
    restless = settle([other.pid for other in (one, *idle)])
    before, others, mine = clock(one.pid), [clock(other.pid).total for other in idle], time.process_time()
    began = time.perf_counter()
    replies = asyncio.run(_put(one, load, prompts, tokens) if load else _newcomers(one, prompts, tokens))
    ended = time.perf_counter()
    seconds = ended - began
    processor, outside = clock(one.pid).since(before, one.threads)
    lazy = sum(clock(other.pid).total for other in idle) - sum(others)
    one.peak.look(one.pid)
    whole = [reply for reply in replies if reply.ended is not None]
    made = sum(reply.tokens for reply in whole)
    last = max((reply.ended for reply in whole if reply.ended), default=ended)
    return Sample(
        speed=made / (last - began),
        first=[reply.pieces[0] - reply.sent for reply in replies if reply.pieces],
        waited=[(reply.left or ended) - reply.sent for reply in replies if not reply.pieces],
        gaps=[later - earlier for reply in replies for earlier, later in pairwise(reply.pieces)],
        prompt_tokens=[reply.prompt_tokens for reply in replies],
        tokens=made,
        processor=processor,
        outside=None if one.contender.queues else outside,
        restless=restless,
        beside=min((reply.beside for reply in replies if reply.beside is not None), default=None),
        others=lazy / seconds,
        client=(time.process_time() - mine) / seconds,
        seconds=seconds,
    )
