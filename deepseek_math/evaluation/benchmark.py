"""What a benchmark is, as data: where its questions come from, how one becomes a prompt, how an answer is judged.

Published accuracies are those of deepseek-ai/DeepSeek-Math at b8b0f8c, evaluation/evaluation_results.json, as the
exact fractions that its decimals stand for; prompts and stop words are those of its evaluation/few_shot_prompts and
evaluation/data_processing/process_utils.py, restated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deepseek_math.few_shot import Example, Form
from deepseek_math.jobs import JobError
from deepseek_math.language import Language

Row = Mapping[str, Any]  # one line of a data set
Mode = Literal["cot", "tool"]
Judging = Literal["expression", "ordered", "choice"]  # how the strict grader compares, see grade.py

# The question and a completion to the answers that the published grader finds in it, and how it compares them.
Find = Callable[[str, str], list[str]]
Same = Literal["one", "list", "row", "letter", "last letter", "ocw"]


class EvaluationError(JobError):
    """What an evaluation has of its own that ends a run."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `expected` is what the strict grader compares with, `answers` what the published one does."""

    id: str
    text: str
    expected: str
    answers: tuple[str, ...]
    solution: str = ""  # worked out, for use as a shot
    options: Mapping[str, str] = field(default_factory=dict)  # of a choice: letter to text


@dataclass(frozen=True, slots=True)
class Hub:
    """A data set on the hub. `train` is the split that shots are drawn from, None where it has no worked solutions."""

    name: str
    config: str
    split: str
    train: str | None = None


@dataclass(frozen=True, slots=True)
class Shots:
    """A k-shot prompt: `count` worked questions, as published, in the published form."""

    count: int
    form: Form

    def prompt(self, shots: tuple[Question, ...], question: str) -> str:
        """The whole text that a base checkpoint continues."""
        examples = [Example(shot.text, shot.solution, shot.expected) for shot in shots]
        return self.form.prompt(examples, question)


@dataclass(frozen=True, slots=True)
class Rules:
    """The published grader's rules for a benchmark: what it finds in a solution to the question, what in one after
    shots, and how it compares."""

    find: Find
    find_after_shots: Find
    same: Same


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One row. `published` has accuracies by (checkpoint, mode, samples)."""

    name: str
    title: str
    language: Language  # of its questions, and so of the published suffix
    read: Callable[[Row, str], Question]  # a line and the question's id
    judging: Judging
    rules: Rules
    shots: Shots
    published: Mapping[tuple[str, Mode, int], float]
    hub: Hub | None = None


def solution_of(row: Row) -> str:
    """A worked solution, where the line has one under any of its usual names."""
    return str(row.get("solution") or row.get("cot") or "")
