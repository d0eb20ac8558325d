"""What comes of a request's predictions: pieces of its choices, their ends, and the metrics."""

import itertools
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from deepseek_math.door.asked import Asked
from deepseek_math.door.merged import merged
from deepseek_math.door.refusals import Refused
from deepseek_math.door.upstream import Upstream
from deepseek_math.local.client import Event

PIECE_CHARACTERS, PIECE_TOKENS = 4000, 200  # of one event at most: with both it stays under 64 KiB
SILENCE = 15.0  # seconds after which a stream shows that it lives
REPEATED = ("vote", "token_logprobs", "text_so_far")  # metrics that are on their way already, or are over
OF_CHOICES = ("text", "token_logprobs")  # what a choice has of its sample


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Taken:
    """The service has taken a prediction: from here on its choices may be streamed."""

    choices: Iterable[int]


@dataclass(frozen=True, slots=True)
class Piece:
    """The next text of a choice."""

    choice: int
    text: str
    tokens: tuple[Token, ...] = ()

    @property
    def choices(self) -> Iterable[int]:
        return (self.choice,)


@dataclass(frozen=True, slots=True)
class Ended:
    """A prediction has succeeded: why each of its choices ended, and its metrics."""

    finished: Mapping[int, str]
    metrics: Mapping[str, Any]

    @property
    def choices(self) -> Iterable[int]:
        return self.finished


Drawn = Taken | Piece | Ended


def draw(upstream: Upstream, asked: Asked) -> AsyncGenerator[Drawn | None, None]:
    """All of it as it comes, and None after each SILENCE. Closing it frees the engine. Raises Refused."""
    for wanted, name in ((not asked.alike, "n"), (asked.logprobs, "logprobs")):
        if wanted and not upstream.tells_metrics:
            raise Refused(400, "not_offered", f"Replicate does not pass on what {name} needs. Leave it out.", name)
    return merged([_prediction(upstream, asked, number) for number in range(len(asked.predictions))], SILENCE)


async def _prediction(upstream: Upstream, asked: Asked, number: int) -> AsyncGenerator[Drawn, None]:
    choices = range(number * asked.n, (number + 1) * asked.n)
    inputs = asked.predictions[number]
    finished: dict[int, str] = {}
    tokens: list[Token] = []  # of the text to come
    told = not asked.logprobs  # whether the log-probabilities came that were asked for
    async with aclosing(_fitting(upstream, inputs, asked.written)) as events:
        async for event in events:
            name = event.data.get("name")
            if name == "ahead":
                yield Taken(choices)
            elif name == "token_logprobs":
                told = True
                tokens += _tokens(event.data["value"])
            elif name == "samples" and not asked.alike:
                sample = event.data["value"]
                choice = choices[sample["seed"] - inputs["seed"]]
                told = told or "token_logprobs" in sample
                finished[choice] = sample["finish_reason"]
                for piece in _pieces(choice, sample["text"], _tokens(sample.get("token_logprobs", ()))):
                    yield piece
            elif event.kind == "output" and asked.alike:
                for choice in choices:
                    for piece in _pieces(choice, event.data["chunk"], tokens):
                        yield piece
                tokens = []
            elif event.kind == "completed":
                metrics = event.data["metrics"]
                if asked.alike:
                    finished = dict.fromkeys(choices, metrics["finish_reason"])
                    for choice in choices if tokens else ():
                        yield Piece(choice, "", tuple(tokens))
                _require_all(asked, len(finished), told)
                yield Ended(finished, _shown(metrics, asked))


def _require_all(asked: Asked, finished: int, told: bool) -> None:
    """NOTE: Cog drops inputs that a service does not know, so an older one answers without what was asked."""
    for was_asked, came, name in ((not asked.alike, finished == asked.n, "n"), (asked.logprobs, told, "logprobs")):
        if was_asked and not came:
            raise Refused(
                400, "not_offered", f"The service behind this door is too old for {name}. Leave it out.", name
            )


async def _fitting(
    upstream: Upstream, inputs: Mapping[str, Any], written: Mapping[str, str]
) -> AsyncGenerator[Event, None]:
    """A prediction's events. Where no limit of tokens was asked for, it is what the context has room for, if that is
    less than the service's default."""
    try:
        async with aclosing(upstream.draw(inputs, written)) as events:
            async for event in events:
                yield event
        return
    except Refused as refused:
        if refused.room is None or "max_new_tokens" in inputs:
            raise
        room = refused.room
    async with aclosing(upstream.draw({**inputs, "max_new_tokens": room}, written)) as events:
        async for event in events:
            yield event


def _pieces(choice: int, text: str, tokens: Sequence[Token]) -> Iterator[Piece]:
    """A text and its tokens in events that are not too large."""
    texts = [text[start : start + PIECE_CHARACTERS] for start in range(0, len(text), PIECE_CHARACTERS)]
    groups = [tuple(tokens[start : start + PIECE_TOKENS]) for start in range(0, len(tokens), PIECE_TOKENS)]
    for part, group in itertools.zip_longest(texts, groups):
        yield Piece(choice, part or "", group or ())


def _tokens(told: Sequence[Mapping[str, Any]]) -> list[Token]:
    return [Token(each["token"], each["logprob"]) for each in told]


def _shown(metrics: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """The metrics without what the choices hold, and with the client's own seeds."""
    shown = {name: value for name, value in metrics.items() if name not in REPEATED}
    if "samples" in shown:
        shown["samples"] = [_without(sample, OF_CHOICES) for sample in shown["samples"]]
    for told in (shown, *shown.get("samples", ())):
        for name in ("seed", "winner_seed"):
            if name in told:
                told[name] += asked.seed_shift
    return shown


def _without(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
