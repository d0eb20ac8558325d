"""One completion: the engine's deltas become the text that the client sees, up to its end."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal

from deepseek_math.engines.protocol import Delta, Engine
from deepseek_math.errors import ServiceError
from deepseek_math.prompts import Prompt
from deepseek_math.sampling import Sampling
from deepseek_math.stop_strings import Stops, StopStrings

STALL_SECONDS = 120.0  # an engine that is silent for longer is taken for dead: even a 7B on a CPU speaks sooner


@dataclass(slots=True)
class Completion:
    """One completion, as far as it has come. Times are of `time.perf_counter()`."""

    text: str = ""
    tokens: int = 0
    finish_reason: Literal["stop", "length", "stop_string", "tool_rounds", "repetition"] | None = None
    logprobs: list[float] = field(default_factory=list)  # of its tokens, where they were asked for and the engine can
    drawn: list[tuple[str, float]] = field(default_factory=list)  # its tokens' texts and log-probabilities, likewise
    first_token: float | None = None
    last_token: float | None = None
    tool_rounds: int = 0  # programs run
    tool_errors: int = 0  # of them, those that failed or were ended
    tool_seconds: float = 0.0  # what they took
    paused: float = 0.0  # that, and the wait for their turn
    seconds: float = 0.0  # from the first token to the last, less the programs in between
    _before_last: tuple[float | None, float] = (None, 0.0)

    @property
    def mean_logprob(self) -> float | None:
        """How likely the model finds this text, for each token; None where the engine does not say."""
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else None

    def count(self, delta: Delta, before: int = 0) -> None:
        """Takes a delta of a generation that began after `before` tokens."""
        self.logprobs += delta.logprobs
        self.drawn += zip(delta.token_texts, delta.logprobs, strict=False)
        if delta.finish == "stop":
            while self.drawn and (len(self.drawn) > delta.tokens or not self.drawn[-1][0]):
                self.drawn.pop()  # the end-of-sequence token, which is no part of the text
        tokens = before + delta.tokens
        if tokens > self.tokens:
            self._before_last = self.last_token, self.seconds
            self.last_token = time.perf_counter() if delta.at is None else delta.at
            self.first_token = self.first_token or self.last_token
            self.seconds = self.last_token - self.first_token - self.paused
        elif tokens < self.tokens:  # the last one turned out to be the end-of-sequence token
            self.last_token, self.seconds = self._before_last
            self.first_token = self.first_token if tokens else None
        self.tokens = tokens

    def add_program(self, output: str, seconds: float, waited: float, failed: bool) -> None:
        """Takes what a program printed, as the model reads it. `waited` is its own time and the wait for its turn."""
        self.text += output
        self.paused += waited
        self.tool_rounds += 1
        self.tool_seconds += seconds
        self.tool_errors += failed


def require_room(prompt_tokens: int, max_new_tokens: int, context: int) -> None:
    """Raises ServiceError("context_exceeded") where prompt and completion don't fit the context together."""
    room = context - prompt_tokens
    if max_new_tokens <= room:
        return
    advice = f"Lower max_new_tokens to {room} or less, or shorten the prompt." if room > 0 else "Shorten the prompt."
    raise ServiceError(
        "context_exceeded",
        f"The prompt has {prompt_tokens} tokens and max_new_tokens is {max_new_tokens}: together "
        f"{prompt_tokens + max_new_tokens}, over the context of {context} tokens. {advice}",
    )


async def complete(
    engine: Engine,
    prompt: Prompt,
    sampling: Sampling,
    completion: Completion,
    *,
    owner: object = None,
    stall_seconds: float = STALL_SECONDS,
) -> AsyncGenerator[str, None]:
    """Streams the completion of `prompt` in pieces of whole characters, and keeps `completion` up to date.

    Call `require_room` first. `owner` is the prediction it is for (see `Gate.enter`). Closing the stream at any point
    frees the engine. Raises ServiceError: `engine_stalled` when the engine falls silent, or what the engine raises.
    """
    stops = StopStrings(sampling.stop)
    async with (
        engine.gate.enter(len(prompt.ids) + sampling.max_new_tokens, owner),
        aclosing(generate(engine, prompt.ids, sampling, stops, completion, stall_seconds)) as pieces,
    ):
        async for piece in pieces:
            yield piece


async def generate(
    engine: Engine,
    ids: Sequence[int],
    sampling: Sampling,
    stops: Stops,
    completion: Completion,
    stall_seconds: float = STALL_SECONDS,
) -> AsyncGenerator[str, None]:
    """Adds to `completion` what the engine makes of `ids`, up to where it or `stops` ends it. See `complete`.

    The caller is in the gate.
    """
    before = completion.tokens
    async with (
        aclosing(engine.generate(ids, sampling)) as stream,
        aclosing(until_stalled(stream, stall_seconds)) as deltas,
    ):
        async for delta in deltas:
            text = stops.feed(delta.text)
            cut = stops.hit is not None and len(delta.logprobs) > 1  # some may be of tokens behind the stop string
            completion.count(replace(delta, logprobs=()) if cut else delta, before)
            if delta.finish and stops.hit is None:
                text += stops.flush()
            completion.finish_reason = delta.finish if stops.hit is None else "stop_string"
            if text:
                completion.text += text
                yield text
            if stops.hit is not None:
                return


class OutOfTime(ServiceError):
    """A prediction took longer than it may."""


async def until_out_of_time(
    pieces: AsyncGenerator[str, None], seconds: float | None, spent: float
) -> AsyncGenerator[str, None]:
    """The same pieces. Raises OutOfTime after so many `seconds` (None: never), of which some are `spent` already.

    By then `pieces` has ended and cleaned up.
    """
    deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds - spent
    while True:
        try:
            async with asyncio.timeout_at(deadline) as limit:
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            if not limit.expired():
                raise
            raise OutOfTime(
                "time_limit",
                f"TIME_LIMIT allows {seconds:g} s for one prediction, and they are over. What was made so far is kept. "
                "Ask for fewer tokens or samples, or raise TIME_LIMIT.",
            ) from None
        yield piece


async def until_stalled(stream: AsyncGenerator[Delta, None], stall_seconds: float) -> AsyncGenerator[Delta, None]:
    """The same deltas. Raises ServiceError("engine_stalled") at the first silence of `stall_seconds`."""
    while True:
        try:
            async with asyncio.timeout(stall_seconds):
                delta = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise ServiceError(
                "engine_stalled",
                f"The engine sent nothing for {stall_seconds:g} s, so this prediction was stopped (timeout). "
                "Send it again; if that fails too, restart the service.",
            ) from error
        yield delta
