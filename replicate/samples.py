"""Several completions of one prompt, put to the vote: the text is one of those with the winning answer."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from replicate.answer import extract
from replicate.completion import STALL_SECONDS, Completion, alive
from replicate.engines.protocol import Engine
from replicate.equivalence import judge
from replicate.equivalence.spelling import key
from replicate.metrics import Metrics
from replicate.prompts import Prompt
from replicate.request import Request
from replicate.sampling import Sampling
from replicate.vote import Vote

log = logging.getLogger(__name__)

Draw = Callable[[Sampling, Completion, object], AsyncGenerator[str, None]]  # the text of one sample; last the owner
PATIENCE = 30.0  # seconds that one vote may spend on comparing answers, before it compares them as text


async def elect(
    engine: Engine,
    prompt: Prompt,
    request: Request,
    metrics: Metrics,
    record: Callable[[str, Any], None],
    draw_one: Draw,
) -> AsyncGenerator[str, None]:
    """Draws `request.samples` completions of `prompt` and yields the whole text of one that has the winning answer.

    Sample i has the seed `seed + i`, and the text that a single prediction with that seed has. The metric `vote` is
    recorded after each sample that finishes. Samples that the vote no longer needs are stopped, as are all of them when
    the stream is closed. A fault of one sample ends the vote: raises ServiceError, see `complete`.
    """
    owner, finished = object(), asyncio.Queue[int | BaseException]()
    completions = metrics.completions = [Completion() for _ in range(request.samples)]
    vote = metrics.vote = Vote(request.samples, request.stop_when_sure, Patience(PATIENCE).same)

    async def draw(place: int) -> None:
        sampling = replace(request.sampling, seed=request.sampling.seed + place, logprobs=True)
        try:
            async with aclosing(draw_one(sampling, completions[place], owner)) as pieces:
                async for _ in pieces:
                    pass
            finished.put_nowait(place)
        except Exception as error:
            finished.put_nowait(error)

    async with _shared(engine, prompt, owner):
        running = [asyncio.create_task(draw(place)) for place in range(request.samples)]
        try:
            while not vote.decided:
                place = await finished.get()
                if isinstance(place, BaseException):
                    raise place
                await vote.add(place, extract(completions[place].text).text)
                record("vote", {"samples": request.samples, "finished": vote.counted, "votes": vote.tally()})
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    winner = _likeliest(completions, vote)
    metrics.chosen, metrics.winner_seed = completions[winner], request.sampling.seed + winner
    yield completions[winner].text


@asynccontextmanager
async def _shared(engine: Engine, prompt: Prompt, owner: object) -> AsyncIterator[None]:
    """Has the engine read the prompt once, and keep what it read until the samples are done."""
    async with aclosing(engine.share(prompt.ids)) as shared:
        async with engine.gate.enter(len(prompt.ids) + 1, owner), aclosing(alive(shared, STALL_SECONDS)) as deltas:
            async for delta in deltas:
                if delta.finish:
                    break
        yield


def _likeliest(completions: list[Completion], vote: Vote) -> int:
    """Of the winners, else of all that finished, the one that the model finds likeliest; else the first to finish."""
    if vote.leader:
        candidates = vote.leader.samples
    else:
        candidates = [place for place, completion in enumerate(completions) if completion.finish_reason]
    return max(candidates, key=lambda place: _or_last(completions[place].mean_logprob))


def _or_last(logprob: float | None) -> float:
    return float("-inf") if logprob is None else logprob


class Patience:
    """Compares answers as `judge` does until that has taken `seconds` in all, and from then on as text."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    async def same(self, a: str, b: str) -> bool:
        if self._left <= 0:
            return key(a) == key(b)
        started = time.monotonic()
        equal = await judge().equivalent(a, b)
        self._left -= time.monotonic() - started
        if self._left <= 0:
            log.warning("the vote compares its answers as text from here on: algebra has taken its %g s", PATIENCE)
        return equal
