"""What a run asks, checked once: the benchmark, the mode, the shots, the votes, and so the inputs of each question."""

import hashlib
from dataclasses import dataclass
from typing import Any

from replicate.evaluate.benchmark import Benchmark, EvaluationError, Mode, Question

FORMAT = 1  # of the results file
MAX_NEW_TOKENS = 1024  # published


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the answers depend on, beside the service."""

    benchmark: Benchmark
    mode: Mode
    questions: tuple[Question, ...]
    shots: tuple[Question, ...] = ()
    samples: int = 1
    max_new_tokens: int = MAX_NEW_TOKENS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.shots and self.mode == "tool":
            raise EvaluationError("--shots is for base checkpoints, which have no tool mode here. Use --mode cot.")

    def inputs(self, question: Question) -> dict[str, Any]:
        """The service's inputs: greedy as published, or for a vote at the service's own temperature."""
        inputs: dict[str, Any] = {"prompt": self.prompt(question), "max_new_tokens": self.max_new_tokens}
        if self.shots:
            inputs |= {"mode": "raw", "stop": [self.benchmark.shots.stop]}
        else:
            inputs["mode"] = self.mode
        inputs |= {"samples": self.samples} if self.samples > 1 else {"temperature": 0.0}
        return inputs | {"seed": self.seed}

    def prompt(self, question: Question) -> str:
        return self.benchmark.shots.prompt(self.shots, question.text) if self.shots else question.text

    def require_inputs(self, known: set[str]) -> None:
        """Raises EvaluationError for an input that the service lacks: Cog would drop it and say nothing."""
        if unknown := sorted(set(self.inputs(self.questions[0])) - known):
            raise EvaluationError(f"The service has no input {', '.join(unknown)}, which this run needs.")

    def settings(self, checkpoint: str, engine: str) -> dict[str, Any]:
        """The header of the results file: a run goes on only with the same."""
        return {
            "evaluate": FORMAT,
            "benchmark": self.benchmark.name,
            "mode": self.mode,
            "shots": len(self.shots),
            "samples": self.samples,
            "max_new_tokens": self.max_new_tokens,
            "seed": self.seed,
            "questions": len(self.questions),
            "digest": self._digest(),
            "checkpoint": checkpoint,
            "engine": engine,
        }

    def _digest(self) -> str:
        """Of all prompts and answers: other questions or shots are another run."""
        content = hashlib.sha256()
        for question in self.questions:
            content.update("\0".join([question.id, self.prompt(question), question.expected, ""]).encode())
        return content.hexdigest()[:16]
