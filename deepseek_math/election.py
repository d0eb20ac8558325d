"""A majority vote: several completions of one prompt, of which one with the winning answer is chosen."""

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
from deepseek_math.completion import STALL_SECONDS, Completion, until_stalled
from deepseek_math.engines.protocol import Engine
from deepseek_math.errors import ServiceError
from deepseek_math.prompts import Prompt
from deepseek_math.repetition import EndlessWatch
from deepseek_math.request import Request
from deepseek_math.sampling import Sampling

log = logging.getLogger(__name__)

# Streams the text of one sample into its completion. The last argument is the owner of its slot (see `Gate.enter`).
Draw = Callable[[Sampling, Completion, object], AsyncGenerator[str, None]]
ALGEBRA_SECONDS = 60.0  # that one vote may spend on comparing answers, before it compares them as text


class Election:
    """`request.samples` completions of one prompt and the vote over their answers, as far as they have come.

    Sample i has the seed `seed + i`, and the text that a single prediction with that seed has. Samples are counted in
    the order of their seeds: one that has finished waits for those before it. So the same seed gives the same vote,
    whichever sample is faster, as long as `undecided` is 0: then no comparison met a bound of time. A sample that
    repeats itself to no end is ended early where that can't change its answer (`EndlessWatch`).
    """

    def __init__(
        self, engine: Engine, prompt: Prompt, request: Request, draw: Draw, *, faults_abstain: bool = False
    ) -> None:
        """`faults_abstain`: a sample that a fault ends has no answer, as long as another one comes to its end."""
        self.completions = [Completion() for _ in range(request.samples)]
        self._comparer = Comparer(ALGEBRA_SECONDS)
        self.vote = Vote(request.samples, request.stop_when_sure, self._comparer.same)
        self.faults: dict[int, Exception] = {}  # of samples that abstain for one
        self._faults_abstain = faults_abstain
        self._engine = engine
        self._prompt = prompt
        self._sampling = request.sampling
        self._every = request.return_samples
        self._draw = draw

    async def run(self, on_tally: Callable[[dict[str, Any]], None], on_sample: Callable[[int], None]) -> None:
        """Draws and counts until the vote is decided, or where all samples are asked for, until the last one.

        `on_tally` gets the state of the vote after each sample that is counted, `on_sample` the number of each that has
        come to its end, in whatever order. Samples that are no longer needed are
        stopped, as are all of them when this is cancelled. A fault ends the vote, unless it is an abstention: raises
        ServiceError, or whatever the fault was.
        """
        owner = object()
        finished = asyncio.Queue[asyncio.Task[int]]()
        async with self._shared_prompt(owner):
            running = [asyncio.create_task(self._sample(number, owner)) for number in range(self.vote.samples)]
            for task in running:
                task.add_done_callback(finished.put_nowait)
            try:
                waiting: set[int] = set()  # samples that have finished before one with a smaller seed
                while not self._over:
                    if self.vote.counted not in waiting:
                        number = _result(await finished.get())
                        waiting.add(number)
                        on_sample(number)
                        continue
                    number = self.vote.counted
                    await self.vote.add(number, self._answer(number))
                    on_tally(self.tally())
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        failed = self.faults_counted
        if 2 * len(failed) > self.vote.samples:  # too few are left for a majority of anything
            raise self.faults[failed[0]]

    @property
    def _over(self) -> bool:
        return self.vote.counted == self.vote.samples if self._every else self.vote.decided

    @property
    def agreement(self) -> float:
        """The leader's share of the samples counted."""
        return len(self.vote.leader.samples) / self.vote.counted if self.vote.leader else 0.0

    @property
    def faults_counted(self) -> list[int]:
        """The samples that were counted and abstained for a fault."""
        return [number for number in self.vote.silent if number in self.faults]

    @property
    def endless_counted(self) -> list[int]:
        """The samples that were counted and ended early, since they repeated themselves to no end."""
        return [number for number in range(self.vote.counted) if not self._is_whole(number)]

    @property
    def undecided(self) -> int:
        """Comparisons of two answers that met a bound of time, and were taken for "not equal" or made as text."""
        return self._comparer.undecided

    def tally(self) -> dict[str, Any]:
        return {"samples": self.vote.samples, "finished": self.vote.counted, "votes": self.vote.tally()}

    async def _sample(self, number: int, owner: object) -> int:
        # In mode tool a program's end leaves the next round the tokens that it has not used, so each is counted as it
        # comes. So it is where the client asked for the tokens.
        seen = self._prompt.mode == "tool" or self._sampling.logprobs
        sampling = replace(self._sampling, seed=self._sampling.seed + number, logprobs=True, seen=seen)
        completion = self.completions[number]
        endless = EndlessWatch(completion, sampling)
        try:
            async with aclosing(self._draw(sampling, completion, owner)) as pieces:
                async for _ in pieces:
                    if not self._every and self._prompt.mode != "tool" and endless.ends():
                        completion.finish_reason = "repetition"
                        break
        except Exception as fault:
            if not self._faults_abstain:
                raise
            log.warning("sample %d of the vote failed and abstains", number, exc_info=fault)
            self.faults[number] = fault
        return number

    def _answer(self, number: int) -> str | None:
        return None if number in self.faults else extract(self.completions[number].text).text

    @asynccontextmanager
    async def _shared_prompt(self, owner: object) -> AsyncIterator[None]:
        """Has the engine read the prompt once, and keep what it read until the samples are done."""
        ids = self._prompt.ids
        async with aclosing(self._engine.share(ids)) as shared:
            async with (
                self._engine.gate.enter(len(ids) + 1, owner),
                aclosing(until_stalled(shared, STALL_SECONDS)) as deltas,
            ):
                async for delta in deltas:
                    if delta.finish:
                        break
            yield

    @property
    def chosen(self) -> int | None:
        """The number of the sample that is chosen, from what is counted so far; None where nothing is.

        Of the winners the one that the model finds likeliest, else the one with the smallest seed.

        Of equal texts the smallest seed has it: the likelihood of one text differs in its last digits by what else the
        engine works on. Without any answer it is the first sample: the likeliest text is then one that repeats itself
        to the end. One that was ended for that is taken where there is no whole one.
        """
        if self.vote.leader is None:
            heard = [number for number in self.vote.silent if number not in self.faults]
            return max(heard, key=self._is_whole, default=None)
        first_with: dict[str, int] = {}
        for number in self.vote.leader.samples:  # in the order of their seeds
            first_with.setdefault(self.completions[number].text, number)
        return max(first_with.values(), key=lambda number: (self._is_whole(number), self._likelihood(number)))

    def _is_whole(self, number: int) -> bool:
        return self.completions[number].finish_reason != "repetition"

    def _likelihood(self, number: int) -> float:
        logprob = self.completions[number].mean_logprob
        return float("-inf") if logprob is None else logprob


def _result(task: asyncio.Task[int]) -> int:
    if task.cancelled():  # not by us: samples are cancelled only after the vote
        raise ServiceError("engine_failed", "The engine dropped a sample of the vote. Send the prediction again.")
    return task.result()


class Comparer:
    """Compares answers by algebra until that has taken the workers `seconds` in all, and from then on as text."""

    def __init__(self, seconds: float) -> None:
        self._seconds = self._left = seconds
        self.undecided = 0

    async def same(self, a: str, b: str) -> bool:
        if self._left <= 0:
            self.undecided += 1
            return key(a) == key(b)
        verdict = await judge().compare(a, b)
        self._left -= verdict.seconds
        if verdict.reason:
            self.undecided += 1
        if self._left <= 0:
            log.warning("the vote compares its answers as text from here on: algebra took %g s", self._seconds)
        return verdict.equal
