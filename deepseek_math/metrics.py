"""What is reported about every prediction, whether it succeeded, failed or was stopped by its client."""

import time
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, Literal

from deepseek_math.answers.voting import Vote
from deepseek_math.completion import Completion


@dataclass(slots=True)
class Metrics:
    """Counts and clocks of one prediction. Times are seconds since the request arrived."""

    checkpoint: str
    engine: str
    checkpoint_digest: str | None = None  # tells its files from others of the same name
    engine_settings: str | None = None  # what else of the engine changes texts: its context, dtype, model elsewhere
    slots: int | None = None  # most requests that the engine works on at once
    seed: int | None = None
    prompt_tokens: int = 0
    completions: list[Completion] = field(default_factory=list)  # all that were drawn
    chosen: Completion | None = None  # the one that the client gets
    ended: Literal["cancelled", "error"] | None = None  # by its client or by a fault
    error_code: str | None = None
    answer: str | None = None
    answer_source: str | None = None  # which rule found the answer: boxed or phrase
    correct: bool | None = None  # whether the answer is the expected one; None where none was expected
    vote: Vote | None = None  # None where one completion was asked for
    tools: bool = False  # whether programs could run
    winner_seed: int | None = None  # alone, it gives the completion that a vote chose
    _arrived: float = field(default_factory=time.perf_counter)

    @property
    def text(self) -> str:
        """What the client gets, as far as it has come."""
        return self.chosen.text if self.chosen else ""

    def report(self) -> dict[str, Any]:
        """The metrics by name; one that has no value (no token came, no error was met) is left out.

        `time_to_first_token` includes the wait for a slot. `tokens_per_second` is the rate after the first token,
        the time of programs not counted. In a vote both, and `completion_tokens`, are of all its completions together,
        and the time of programs counts, for others generate meanwhile.
        """
        tokens = sum(completion.tokens for completion in self.completions)
        values = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": tokens,
            "finish_reason": self.ended or (self.chosen and self.chosen.finish_reason),
            "error_code": self.error_code,
            "seed": self.seed,
            "checkpoint": self.checkpoint,
            "engine": self.engine,
            "checkpoint_digest": self.checkpoint_digest,
            "engine_settings": self.engine_settings,
            "slots": self.slots,
            "answer": self.answer,
            "answer_source": self.answer_source,
            "correct": self.correct,
            **self._worked(),
            **self._voted(),
        }
        first = min((each.first_token for each in self.completions if each.first_token), default=None)
        last = max((each.last_token for each in self.completions if each.last_token), default=None)
        if first is not None and last is not None:
            values["time_to_first_token"] = round(first - self._arrived, 4)
            seconds = self.completions[0].seconds if len(self.completions) == 1 else last - first
            if seconds > 0:
                values["tokens_per_second"] = round((tokens - 1) / seconds, 2)
        return {name: value for name, value in values.items() if value is not None}

    def _worked(self) -> dict[str, Any]:
        """Of the programs of all completions: how many ran, how many failed, the wall time they took together."""
        if not self.tools:
            return {}
        return {
            "tool_rounds": sum(completion.tool_rounds for completion in self.completions),
            "tool_errors": sum(completion.tool_errors for completion in self.completions),
            "tool_seconds": round(sum(completion.tool_seconds for completion in self.completions), 4),
        }

    def _voted(self) -> dict[str, Any]:
        """`agreement` is the winner's share of the samples used. All others are stopped early, even one that had just
        come to its end as the vote was decided. `tokens_not_generated` is a cautious estimate: a sample that had not
        would have come to the mean of the finished ones that are longer, if there are any."""
        if self.vote is None:
            return {}
        finished = [completion.tokens for completion in self.completions if completion.finish_reason]
        stopped = [completion.tokens for completion in self.completions if not completion.finish_reason]
        left = sum(mean([length for length in finished if length >= tokens] or [tokens]) - tokens for tokens in stopped)
        return {
            "votes": self.vote.tally(),
            "agreement": round(len(self.vote.leader.samples) / self.vote.counted, 4) if self.vote.leader else 0.0,
            "samples_used": self.vote.counted,
            "samples_without_answer": len(self.vote.silent),
            "samples_stopped_early": None if self.ended else self.vote.samples - self.vote.counted,
            "tokens_not_generated": None if self.ended else round(left),
            "winner_seed": self.winner_seed,
        }
