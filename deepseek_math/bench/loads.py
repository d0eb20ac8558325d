"""The loads that every contender gets, one at a time, and what each load measured."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
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
OTHERS = 15  # requests at work while a newcomer comes
NEWCOMERS = 3
PATIENCE = 10.0  # seconds that a newcomer waits
LONGER = 4  # the others get so many times the tokens, so that they do not end before the newcomers have come

Task = asyncio.Task[Any]


@dataclass(frozen=True, slots=True)
class Load:
    """`streams` clients at once, which send `requests` in all."""

    streams: int
    requests: int


LOADS = (Load(1, 3), Load(4, 8), Load(16, 16))


@dataclass(frozen=True, slots=True)
class Sample:
    """One load on one contender. Shares are of one core."""

    speed: float  # tokens a second
    first: list[float]  # seconds to the first text, by request
    waited: list[float]  # of the requests that got no text: seconds that they waited
    gaps: list[float]  # seconds between two pieces of text
    prompt_tokens: list[int]  # by request; 0 where the reply did not end
    tokens: int  # of the replies that ended, as the server counts them
    processor: float  # seconds, of the server's processes
    outside: float | None  # of those, outside the engine; None for the original predictor, whose engine is Python too
    busy: float  # share that all contenders took when the load began; over QUIET they never became idle
    others_at_work: int | None  # for newcomers: the fewest others that were at work, or in line, as one was sent
    idle_share: float  # that the other contenders took meanwhile
    client_share: float  # that the bench itself took
    seconds: float


@asynccontextmanager
async def _running(jobs: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[set[Task]]:
    """Runs `jobs`. Those still at work at the end are cancelled, which closes their connections."""
    tasks = {asyncio.create_task(job) for job in jobs}
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _raise_faults(tasks: Collection[Task]) -> None:
    for task in tasks:
        if task.done():
            task.result()


async def _wait_until(reached: Callable[[], bool], tasks: Collection[Task]) -> None:
    """Raises what a task raises meanwhile."""
    while not reached():
        _raise_faults(tasks)
        await asyncio.sleep(0.01)


async def _end_in_order(one: Running, replies: Sequence[Reply], tasks: Collection[Task]) -> None:
    """Waits for what a server that serves one at a time has begun. What it refused is not asked for again.

    NOTE: Cog (0.23.1) cancels a sync predictor by an exception thrown into a thread. Once a prediction then waited
    forever for a thread that it had just started and that was gone: a cancel that came late may have hit that thread.
    """
    if one.contender.one_at_a_time:
        for reply in replies:
            reply.given_up = time.perf_counter()
        await asyncio.gather(*tasks)


async def _run_streams(one: Running, load: Load, prompts: Sequence[str], tokens: int) -> list[Reply]:
    """Every stream takes the next prompt once its last reply has ended. Raises BenchError."""
    waiting, replies = iter(prompts), list[Reply]()
    enough = asyncio.Event()
    needed = min(ENOUGH, len(prompts)) if one.contender.one_at_a_time else len(prompts)

    async def stream(session: httpx.AsyncClient) -> None:
        for text in waiting:
            reply = Reply(time.perf_counter())
            replies.append(reply)
            await ask(session, one.url, one.contender.api, reply, text, tokens)
            if sum(reply.ended is not None for reply in replies) >= needed:
                enough.set()

    async with (
        crowd(LOADS[-1].streams) as session,
        _running([stream(session) for _ in range(load.streams)]) as streams,
    ):
        await _wait_for(enough, streams)
        for _ in waiting:  # no stream takes another prompt
            pass
        await _end_in_order(one, replies, streams)
    return replies


async def _wait_for(event: asyncio.Event, tasks: Collection[Task]) -> None:
    """Raises what a task raises meanwhile."""
    waiter = asyncio.create_task(event.wait())
    pending: set[Task] = {waiter, *tasks}
    try:
        while not event.is_set():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            _raise_faults(done)
    finally:
        waiter.cancel()


async def _run_newcomers(one: Running, prompts: Sequence[str], tokens: int) -> list[Reply]:
    """New requests, one after the other, while OTHERS are at work already (or wait in line). Raises BenchError."""
    api = one.contender.api
    others = [Reply(time.perf_counter()) for _ in range(OTHERS)]
    begun = 1 if one.contender.one_at_a_time else OTHERS
    newcomers: list[Reply] = []
    async with crowd(LOADS[-1].streams) as session:
        jobs = [
            ask(session, one.url, api, reply, text, LONGER * tokens)
            for reply, text in zip(others, prompts[:OTHERS], strict=True)
        ]
        async with _running(jobs) as tasks:
            await _wait_until(lambda: sum(bool(reply.pieces or reply.ended) for reply in others) >= begun, tasks)
            for text in prompts[OTHERS:]:
                at_work = sum(other.ended is None for other in others)
                reply = Reply(time.perf_counter(), others_at_work=at_work)
                newcomers.append(reply)
                task = asyncio.create_task(ask(session, one.url, api, reply, text, 1))
                tasks.add(task)
                done, _ = await asyncio.wait({task}, timeout=PATIENCE)
                if one.contender.one_at_a_time:  # the second would wait as long
                    break
                if not done:
                    await _give_up(task, reply)
                    tasks.discard(task)
                _raise_faults(tasks)
            await _end_in_order(one, [*others, *newcomers], tasks)
    return newcomers


async def _give_up(task: Task, reply: Reply) -> None:
    task.cancel()
    reply.given_up = time.perf_counter()
    await asyncio.gather(task, return_exceptions=True)


def _prompts(load: Load | None, round_number: int) -> list[str]:
    if load is None:
        return [prompt(round_number, None, number) for number in range(OTHERS + NEWCOMERS)]
    return [prompt(round_number, load.streams, number) for number in range(load.requests)]


def context_needed(tokens: int, rounds: int) -> int:
    """Tokens that the longest request may take: a text has at most as many tokens as bytes, and a BOS."""
    longest = max(len(text.encode()) for number in range(rounds) for text in _prompts(None, number))
    return LONGER * tokens + longest + 1


def measure(one: Running, load: Load | None, round_number: int, tokens: int, idle: Sequence[Running]) -> Sample:
    """Puts `load` on a contender, or newcomers where it is None, once all servers are idle. Raises BenchError.

    Where they do not become idle in time it starts all the same, and the sample's `busy` says so. The prompts depend on
    the round and the load alone, so all contenders read the same ones.
    """
    prompts = _prompts(load, round_number)
    busy = settle([other.pid for other in (one, *idle)])
    before, idle_before, client_before = clock(one.pid), _processor(idle), time.process_time()
    began = time.perf_counter()
    replies = asyncio.run(_run_streams(one, load, prompts, tokens) if load else _run_newcomers(one, prompts, tokens))
    over = time.perf_counter()
    seconds = over - began
    processor, outside = clock(one.pid).since(before, one.threads)
    idle_seconds = _processor(idle) - idle_before
    one.peak.look(one.pid)
    generated = sum(reply.tokens for reply in replies)
    last_end = max((reply.ended for reply in replies if reply.ended), default=over)
    at_work = [reply.others_at_work for reply in replies if reply.others_at_work is not None]
    return Sample(
        speed=generated / (last_end - began),
        first=[reply.pieces[0] - reply.sent for reply in replies if reply.pieces],
        waited=[(reply.given_up or over) - reply.sent for reply in replies if not reply.pieces],
        gaps=[later - earlier for reply in replies for earlier, later in pairwise(reply.pieces)],
        prompt_tokens=[reply.prompt_tokens for reply in replies],
        tokens=generated,
        processor=processor,
        outside=None if one.contender.one_at_a_time else outside,
        busy=busy,
        others_at_work=min(at_work, default=None),
        idle_share=idle_seconds / seconds,
        client_share=(time.process_time() - client_before) / seconds,
        seconds=seconds,
    )


def _processor(contenders: Sequence[Running]) -> float:
    """Seconds of processor time that all of them have used."""
    return sum(clock(one.pid).total for one in contenders)
