"""What a run asks, checked once: the benchmark, the mode, the shots, the votes, and so the inputs of each question."""

import hashlib
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from deepseek_math.checkpoints import CHECKPOINTS
from deepseek_math.evaluation.benchmark import Benchmark, EvaluationError, Mode, Question
from deepseek_math.evaluation.results import FORMAT, KIND
from deepseek_math.jobs.served import Served
from deepseek_math.prompts import COT_SUFFIX, TOOL_SUFFIX

# As published: with programs two rounds of 1024 tokens each (evaluation/infer/run_tool_integrated_eval.py: n_iters,
# max_tokens), which max_new_tokens counts together.
MAX_NEW_TOKENS: dict[Mode, int] = {"cot": 1024, "tool": 2048}
MAX_TOOL_ROUNDS: dict[Mode, int | None] = {"cot": None, "tool": 2}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the answers depend on, beside the service. None means: as published."""

    benchmark: Benchmark
    mode: Mode
    questions: tuple[Question, ...]
    shots: tuple[Question, ...] = ()
    samples: int = 1
    max_new_tokens: int | None = None
    max_tool_rounds: int | None = None
    seed: int = 0

    def inputs(self, question: Question) -> dict[str, Any]:
        """The service's inputs: greedy as published, or for a vote at the service's own temperature."""
        inputs: dict[str, Any] = {"prompt": self.prompt(question), "max_new_tokens": self._tokens, "seed": self.seed}
        if self.shots:
            inputs |= {"mode": "raw", "stop": list(self.benchmark.shots.form.stops)}
        else:
            inputs |= {"mode": self.mode}
        if self.mode == "tool":
            inputs |= {"tool_loop": "published", "max_tool_rounds": self._rounds}
        if self.samples > 1:
            return inputs | {"samples": self.samples}
        return inputs | {"temperature": 0.0}

    def prompt(self, question: Question) -> str:
        """The question and its shots, or the published suffix: always, where the service would leave it out of a
        question that has a box of its own."""
        if self.shots:
            return self.benchmark.shots.prompt(self.shots, question.text)
        suffix = TOOL_SUFFIX if self.mode == "tool" else COT_SUFFIX
        return question.text + suffix[self.benchmark.language]

    def require_inputs(self, known: Set[str]) -> None:
        """Raises EvaluationError for an input that the service lacks: Cog would ignore it in silence."""
        unknown = sorted(set(self.inputs(self.questions[0])) - known)
        if unknown:
            raise EvaluationError(f"The service has no input {', '.join(unknown)}, which this run needs.")

    def settings(self, served: Served) -> dict[str, Any]:
        """The header of the results file: a run goes on only with the same."""
        return {
            KIND: FORMAT,
            "benchmark": self.benchmark.name,
            "mode": self.mode,
            "shots": len(self.shots),
            "samples": self.samples,
            "max_new_tokens": self._tokens,
            "max_tool_rounds": self._rounds,
            "seed": self.seed,
            "questions": len(self.questions),
            "digest": self._digest(),
        } | served.header()

    @property
    def _tokens(self) -> int:
        return self.max_new_tokens or MAX_NEW_TOKENS[self.mode]

    @property
    def _rounds(self) -> int | None:
        return self.max_tool_rounds or MAX_TOOL_ROUNDS[self.mode]

    def _digest(self) -> str:
        """Of all prompts and answers: other questions or shots are another run."""
        content = hashlib.sha256()
        for question in self.questions:
            parts = [question.id, self.prompt(question), question.expected, *question.answers, ""]
            content.update("\0".join(parts).encode(errors="surrogatepass"))
        return content.hexdigest()[:16]


def file_name(settings: dict[str, Any], limit: int | None) -> str:
    """`gsm8k-cot-first200-rl.jsonl`: a repeated command finds its own results file, another one gets another."""
    mode = settings["mode"]
    names = [settings["benchmark"], mode]
    if settings["shots"]:
        names.append(f"{settings['shots']}shot")
    if settings["samples"] > 1:
        names.append(f"maj{settings['samples']}")
    if settings["seed"]:
        names.append(f"seed{settings['seed']}")
    if limit:
        names.append(f"first{limit}")
    if settings["max_new_tokens"] != MAX_NEW_TOKENS[mode]:
        names.append(f"{settings['max_new_tokens']}tokens")
    if settings["max_tool_rounds"] != MAX_TOOL_ROUNDS[mode]:
        names.append(f"{settings['max_tool_rounds']}rounds")
    names.append(settings["checkpoint"])
    if settings["checkpoint"] not in CHECKPOINTS and settings["checkpoint_digest"]:
        names.append(settings["checkpoint_digest"][:8])
    return "-".join(names) + ".jsonl"
