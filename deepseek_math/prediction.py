"""One prediction as far as it has come: the service fills it in, line by line, and its metrics are made from it."""

import time
from dataclasses import dataclass, field
from typing import Literal

from deepseek_math.completion import Completion
from deepseek_math.election import Election
from deepseek_math.prompts import PromptMode


@dataclass(slots=True)
class Prediction:
    """Its client, or a fault, may end it anywhere; what is not known yet is None or empty."""

    arrived: float = field(default_factory=time.perf_counter)
    seed: int | None = None
    prompt_tokens: int = 0
    mode: PromptMode | None = None  # how the prompt was put
    completions: list[Completion] = field(default_factory=list)  # all that are drawn
    chosen: Completion | None = None  # the one that the client gets
    election: Election | None = None  # None where one completion was asked for
    winner_seed: int | None = None  # alone, it gives the completion that the vote chose
    correct: bool | None = None  # whether the answer is the expected one; None where none was expected
    contradicts: bool = False  # whether the text boxes two answers that differ
    ended: Literal["cancelled", "error"] | None = None  # by its client or by a fault
    error_code: str | None = None

    def choose(self, sample: int | None) -> None:
        """Takes a sample of the vote for the client; None leaves it without one."""
        if sample is not None:
            self.chosen = self.completions[sample]
            self.winner_seed = (self.seed or 0) + sample

    @property
    def tools(self) -> bool:
        """Whether programs may run."""
        return self.mode == "tool"

    @property
    def text(self) -> str:
        """What the client gets."""
        return self.chosen.text if self.chosen else ""
