"""What a run's lines come to: accuracy with its interval, by both graders, and the published figure beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from replicate.evaluate.benchmarks import BENCHMARKS
from replicate.evaluate.interval import wilson

Grader = Literal["strict", "published"]
KEY: dict[Grader, str] = {"strict": "correct", "published": "published_correct"}
PUBLISHED = ("base", "instruct", "rl")  # checkpoints with published figures
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """Accuracies are shares of 1; the interval is that of `grader`'s accuracy."""

    benchmark: str
    checkpoint: str
    engine: str
    mode: str
    shots: int
    samples: int
    grader: Grader
    questions: int
    correct: int
    strict_correct: int
    published_correct: int
    low: float
    high: float
    figure: float | None  # as published; None where nothing was
    figure_of: str  # the checkpoint it was published for
    passed: int | None  # of a vote
    samples_used: float | None  # of a vote, on average
    unfinished: int  # completions that were cut off by max_new_tokens
    refused: int  # questions that the service could not take
    tokens: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.questions

    @property
    def inside(self) -> bool | None:
        """Whether the published figure lies in the interval."""
        return None if self.figure is None else self.low <= self.figure <= self.high

    @property
    def reached(self) -> bool | None:
        """Inside the interval, or below the accuracy: that is, not over the interval's upper end."""
        return None if self.figure is None else self.figure <= self.high

    def record(self) -> dict[str, Any]:
        """For machines."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        rounded = {name: round(value, 6) if isinstance(value, float) else value for name, value in fields.items()}
        return rounded | {"accuracy": round(self.accuracy, 6), "inside": self.inside, "reached": self.reached}

    def text(self) -> str:
        """For people, a few lines."""
        vote = f", majority of {self.samples}" if self.samples > 1 else ""
        shots = f", {self.shots} shots" if self.shots else ""
        rows = [
            f"{BENCHMARKS[self.benchmark].title} ({self.mode}{shots}{vote}) on {self.checkpoint}, {self.engine}",
            f"  accuracy   {self.accuracy:.1%} ({self.correct} of {self.questions}, {self.grader} grader)",
            f"  interval   {self.low:.1%} to {self.high:.1%} (95 %, Wilson)",
            f"  graders    strict {self.strict_correct}, published {self.published_correct} right",
        ]
        if self.passed is not None:
            rows.append(
                f"  pass@{self.samples:<6} at least {self.passed / self.questions:.1%} (a vote ends once decided, "
                f"here after {self.samples_used:.1f} samples on average)"
            )
        if self.figure is None:
            rows.append(f"  published  nothing for {self.figure_of} in this mode")
        else:
            place = "inside the interval" if self.inside else "below it: reached" if self.reached else "above it"
            rows.append(f"  published  {self.figure:.1%} for {self.figure_of}: {place}")
        if self.unfinished:
            rows.append(f"  cut off    {self.unfinished} completions, at max_new_tokens")
        if self.refused:
            rows.append(f"  refused    {self.refused} questions the service could not take; they count as wrong")
        return "\n".join(rows)


def summarise(settings: Line, lines: Sequence[Line], grader: Grader, figure_of: str | None = None) -> Summary:
    """`lines` is not empty. `figure_of` None: the checkpoint itself where it has published figures, else rl."""
    checkpoint = settings["checkpoint"]
    figure_of = figure_of or (checkpoint if checkpoint in PUBLISHED else "rl")
    correct = {name: sum(line[key] for line in lines) for name, key in KEY.items()}
    low, high = wilson(correct[grader], len(lines))
    voted = settings["samples"] > 1
    published = BENCHMARKS[settings["benchmark"]].published
    return Summary(
        benchmark=settings["benchmark"],
        checkpoint=checkpoint,
        engine=settings["engine"],
        mode=settings["mode"],
        shots=settings["shots"],
        samples=settings["samples"],
        grader=grader,
        questions=len(lines),
        correct=correct[grader],
        strict_correct=correct["strict"],
        published_correct=correct["published"],
        low=low,
        high=high,
        figure=published.get((figure_of, settings["mode"], settings["samples"])),
        figure_of=figure_of,
        passed=sum(line["passed"] for line in lines) if voted else None,
        samples_used=mean(line["samples_used"] for line in lines) if voted else None,
        unfinished=sum(line["finish_reason"] == "length" for line in lines),
        refused=sum(line["error"] is not None for line in lines),
        tokens=sum(line["tokens"] for line in lines),
    )


def default_file(settings: Line) -> Path:
    """`results/gsm8k-cot-rl.jsonl`, so that a repeated command finds its file."""
    names = [settings["benchmark"], settings["mode"]]
    names += [f"{settings['shots']}shot"] if settings["shots"] else []
    names += [f"maj{settings['samples']}"] if settings["samples"] > 1 else []
    return Path("results") / ("-".join([*names, settings["checkpoint"]]) + ".jsonl")
