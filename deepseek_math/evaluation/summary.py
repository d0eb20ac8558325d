"""What a run's lines come to: accuracy with its interval, by both graders, and the published figure beside it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Literal

from deepseek_math.checkpoints import CHECKPOINTS
from deepseek_math.evaluation.benchmarks import BENCHMARKS
from deepseek_math.evaluation.interval import wilson
from deepseek_math.evaluation.plan import MAX_NEW_TOKENS, MAX_TOOL_ROUNDS

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
    asked: int  # questions of the run
    questions: int  # of them, those that have their line; no line is there twice
    correct: int
    strict_correct: int
    published_correct: int
    low: float
    high: float
    figure: float | None  # as published; None where nothing was
    figure_of: str | None  # the checkpoint it was published for
    differences: tuple[str, ...]  # what keeps the run from being compared with the figure
    passed: int | None  # of a vote
    samples_used: float | None  # of a vote, on average
    unfinished: int  # completions that were cut off by max_new_tokens
    refused: dict[str, int]  # questions that the service could not take, by the refusal's code
    undecided: int  # questions that count as wrong, with a comparison that failed twice
    tokens: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.questions

    @property
    def comparable(self) -> bool:
        return self.figure is not None and not self.differences

    @property
    def inside(self) -> bool | None:
        """Whether the published figure lies in the interval; None where there is none to compare with."""
        return self.low <= self.figure <= self.high if self.figure is not None and self.comparable else None

    @property
    def reached(self) -> bool | None:
        """Inside the interval, or below the accuracy: that is, not over the interval's upper end."""
        return self.figure <= self.high if self.figure is not None and self.comparable else None

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
            f"  questions  {self.asked}, each answered once"
            if self.questions == self.asked
            else f"  unfinished {self.questions} of {self.asked} questions answered",
            f"  accuracy   {self.accuracy:.1%} ({self.correct} of {self.questions}, {self.grader} grader)",
            f"  interval   {self.low:.1%} to {self.high:.1%} (95 %, Wilson)",
            f"  graders    strict {self.strict_correct}, published {self.published_correct} right",
        ]
        if self.shots:
            rows.append(f"  shots      {self.shots}, whose texts are not the published ones")
        if self.passed is not None:
            rows.append(
                f"  pass@{self.samples:<6} at least {self.passed / self.questions:.1%} (a vote ends once decided, "
                f"here after {self.samples_used:.1f} samples on average)"
            )
        if self.unfinished:
            rows.append(f"  cut off    {self.unfinished} completions, at max_new_tokens")
        if self.refused:
            codes = ", ".join(f"{code} {count}" for code, count in self.refused.items())
            rows.append(f"  refused    {sum(self.refused.values())} questions, which count as wrong: {codes}")
        if self.undecided:
            rows.append(f"  undecided  {self.undecided} questions, which count as wrong: a comparison failed, twice")
        return "\n".join([*rows, f"  published  {self._verdict()}"])

    def _verdict(self) -> str:
        if self.figure_of is None:
            return f"nothing for {self.checkpoint}; --published says whose figure it is to be held against"
        if self.figure is None:
            return f"nothing for {self.figure_of} in this mode"
        figure = f"{self.figure:.1%} for {self.figure_of}"
        if self.differences:
            return f"{figure}, not comparable: {'; '.join(self.differences)}"
        return f"{figure}: " + (
            "inside the interval" if self.inside else "below it: reached" if self.reached else "above it"
        )


def summarise(settings: Line, lines: Sequence[Line], grader: Grader, figure_of: str | None = None) -> Summary:
    """`lines` is not empty. `figure_of` None: the one the run was started for, else the checkpoint itself or the one
    that it is a quantisation of."""
    figure_of = figure_of or settings.get("published") or _published(settings["checkpoint"])
    correct = {name: sum(line[key] for line in lines) for name, key in KEY.items()}
    low, high = wilson(correct[grader], len(lines))
    voted = settings["samples"] > 1
    published = BENCHMARKS[settings["benchmark"]].published
    figure = published.get((figure_of, settings["mode"], settings["samples"])) if figure_of else None
    refused = Counter(line["error"] for line in lines if line["error"] is not None)
    differences = _settings_apart(settings, figure_of) if figure_of else []
    if len(lines) < settings["questions"]:
        differences.append(f"unfinished, {len(lines)} of {settings['questions']} questions are answered")
    undecided = sum(bool(line.get("undecided")) and not line[KEY[grader]] for line in lines)
    unjudged = refused.total() + undecided
    if figure is not None and high < figure <= wilson(correct[grader] + unjudged, len(lines))[1]:
        or_undecided = " or left undecided" if undecided else ""
        differences.append(f"{unjudged} questions were refused{or_undecided}, which alone may be the reason")
    return Summary(
        benchmark=settings["benchmark"],
        checkpoint=settings["checkpoint"],
        engine=settings["engine"],
        mode=settings["mode"],
        shots=settings["shots"],
        samples=settings["samples"],
        grader=grader,
        asked=settings["questions"],
        questions=len(lines),
        correct=correct[grader],
        strict_correct=correct["strict"],
        published_correct=correct["published"],
        low=low,
        high=high,
        figure=figure,
        figure_of=figure_of,
        differences=tuple(differences),
        passed=sum(line["passed"] for line in lines) if voted else None,
        samples_used=mean(line["samples_used"] for line in lines) if voted else None,
        unfinished=sum(line["finish_reason"] == "length" for line in lines),
        refused=dict(refused),
        undecided=undecided,
        tokens=sum(line["tokens"] for line in lines),
    )


def _published(checkpoint: str) -> str | None:
    """The checkpoint of the table whose figures are this one's: `rl` for `rl-q4_k_m`, none for other models."""
    original = checkpoint.partition("-")[0] if checkpoint in CHECKPOINTS else ""
    return original if original in PUBLISHED else None


def _settings_apart(settings: Line, figure_of: str) -> list[str]:
    """The settings that are not those of the published figure."""
    published = {
        "max_new_tokens": MAX_NEW_TOKENS[settings["mode"]],
        "max_tool_rounds": MAX_TOOL_ROUNDS[settings["mode"]],
        "shots": BENCHMARKS[settings["benchmark"]].shots.count if figure_of == "base" else 0,
    }
    return [
        f"{name} {settings[name]}, published {wanted}" for name, wanted in published.items() if settings[name] != wanted
    ]
