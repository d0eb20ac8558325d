"""What a GRPO run tells of each step, through a callback of the trainer."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import TrainerCallback
from trl import GRPOTrainer

from deepseek_math.training.held_out import accuracy
from deepseek_math.training.log import Log
from deepseek_math.training.questions import Row

LOGGED = {  # the trainer's name: ours
    "reward": "reward",
    "kl": "kl",
    "completions/mean_length": "tokens",
    "completions/clipped_ratio": "cut",
}
MOST_QUESTIONS = 200


class StepLog(TrainerCallback):
    """Logs each step's reward, KL divergence, tokens, and share of completions cut at the limit.

    Every `every` steps it also measures the accuracy on held-out questions. All processes take part in that; the one
    that has the log writes.
    """

    def __init__(self, log: Log | None, trainer: GRPOTrainer, held: Sequence[Row], every: int) -> None:
        self._log = log
        self._trainer = trainer
        self._held = held[:MOST_QUESTIONS]
        self._every = every

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._held and state.global_step == 0:
            self._write({"step": 0, "held": self._accuracy()})

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        if not logs or "reward" not in logs:
            return
        line: dict[str, Any] = {"step": state.global_step}
        for name, ours in LOGGED.items():
            value = logs.get(name)
            if value is not None:
                line[ours] = round(float(value), 5)
        if self._held and state.global_step % self._every == 0:
            line["held"] = self._accuracy()
        self._write(line)

    def _accuracy(self) -> float:
        return accuracy(self._trainer.model, self._trainer.processing_class, self._held)

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._log:
            print(json.dumps(self._log.write(line)), flush=True)
