"""Several completions of one prompt, put to the vote: the text is one of those with the winning answer."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from deepseek_math.answers.extraction import extract
from deepseek_math.answers.judging import judge
from deepseek_math.answers.spelling import key
from deepseek_math.answers.voting import Vote
from deepseek_math.completion import STALL_SECONDS, Completion, alive
from deepseek_math.engines.protocol import Engine
from deepseek_math.errors import ServiceError
from deepseek_math.metrics import Metrics
from deepseek_math.prompts import Prompt
from deepseek_math.request import Request
from deepseek_math.sampling import Sampling

log = logging.getLogger(__name__)

Draw = Callable[[Sampling, Completion, object], AsyncGenerator[str, None]]  # the text of one sample; last the owner
PATIENCE = 60.0  # seconds that one vote may spend on comparing answers, before it compares them as text


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
    owner, seed = object(), request.sampling.seed
    completions = metrics.completions = [Completion() for _ in range(request.samples)]
    vote = metrics.vote = Vote(request.samples, request.stop_when_sure, Patience(PATIENCE).same)
    finished = asyncio.Queue[asyncio.Task[int]]()

    async def draw(place: int) -> int:
        sampling = replace(request.sampling, seed=seed + place, logprobs=True)
        async with aclosing(draw_one(sampling, completions[place], owner)) as pieces:
            async for _ in pieces:
                pass
        return place

    async with _shared(engine, prompt, owner):
        running = [asyncio.create_task(draw(place)) for place in range(request.samples)]
        for task in running:
            task.add_done_callback(finished.put_nowait)
        try:
            while not vote.decided:
                place = _result(await finished.get())
                await vote.add(place, extract(completions[place].text).text)
                record("vote", {"samples": request.samples, "finished": vote.counted, "votes": vote.tally()})
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    winner = _chosen(completions, vote)
    metrics.chosen, metrics.winner_seed = completions[winner], seed + winner
    yield completions[winner].text


def _result(task: asyncio.Task[int]) -> int:
    if task.cancelled():  # not by us: nothing here is cancelled before the vote is over
        raise ServiceError("engine_failed", "The engine dropped a sample of the vote. Send the prediction again.")
    return task.result()


@asynccontextmanager
async def _shared(engine: Engine, prompt: Prompt, owner: object) -> AsyncIterator[None]:
    """Has the engine read the prompt once, and keep what it read until the samples are done."""
    async with aclosing(engine.share(prompt.ids)) as shared:
        async with engine.gate.enter(len(prompt.ids) + 1, owner), aclosing(alive(shared, STALL_SECONDS)) as deltas:
            async for delta in deltas:
                if delta.finish:
                    break
        yield


def _chosen(completions: list[Completion], vote: Vote) -> int:
    """Of the winners the one that the model finds likeliest, else the first of them that finished. Without any answer
    the first: the likeliest text is then one that repeats itself to the end."""
    if not vote.leader:
        return vote.silent[0]
    return max(vote.leader.samples, key=lambda place: _or_last(completions[place].mean_logprob))


def _or_last(logprob: float | None) -> float:
    return float("-inf") if logprob is None else logprob


class Patience:
    """Compares answers as `judge` does until that has taken workers `seconds` in all, and from then on as text."""

    def __init__(self, seconds: float) -> None:
        self._seconds = self._left = seconds

    async def same(self, a: str, b: str) -> bool:
        if self._left <= 0:
            return key(a) == key(b)
        verdict = await judge().compare(a, b)
        self._left -= verdict.seconds
        if self._left <= 0:
            log.warning("the vote compares its answers as text from here on: algebra took %g s", self._seconds)
        return verdict.equal
