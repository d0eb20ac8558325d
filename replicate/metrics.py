"""What is reported about every prediction, whether it succeeded, failed or was stopped by its client."""

import time
from dataclasses import dataclass, field
from typing import Literal

FinishReason = Literal["stop", "length", "stop_string", "cancelled", "error"]


@dataclass(slots=True)
class Metrics:
    """Counts and clocks of one prediction. Times are seconds since the request arrived."""

    checkpoint: str
    engine: str
    seed: int | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: FinishReason | None = None
    error_code: str | None = None
    answer: str | None = None
    answer_source: str | None = None  # which rule found the answer: boxed or phrase
    correct: bool | None = None  # whether the answer is the expected one; None where none was expected
    _arrived: float = field(default_factory=time.perf_counter)
    _first: float | None = None
    _last: float | None = None

    def count(self, completion_tokens: int) -> None:
        """Notes that the engine has sent `completion_tokens` tokens by now."""
        if completion_tokens == self.completion_tokens:
            return
        self.completion_tokens = completion_tokens
        self._last = time.perf_counter()
        self._first = self._first or self._last

    def report(self) -> dict[str, str | int | float]:
        """The metrics by name; one that has no value (no token came, no error was met) is left out.

        `time_to_first_token` includes the wait for a slot. `tokens_per_second` is the rate after the first token.
        """
        values: dict[str, str | int | float | None] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "finish_reason": self.finish_reason,
            "error_code": self.error_code,
            "seed": self.seed,
            "checkpoint": self.checkpoint,
            "engine": self.engine,
            "answer": self.answer,
            "answer_source": self.answer_source,
            "correct": self.correct,
        }
        if self._first is not None and self._last is not None:
            values["time_to_first_token"] = round(self._first - self._arrived, 4)
            if self._last > self._first:
                values["tokens_per_second"] = round((self.completion_tokens - 1) / (self._last - self._first), 2)
        return {name: value for name, value in values.items() if value is not None}
