"""The result of a run: accuracy with its interval, by both graders, and the published figure beside it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Literal

from deepseek_math.checkpoints import CHECKPOINTS
from deepseek_math.evaluation.benchmarks import BENCHMARKS
from deepseek_math.evaluation.plan import MAX_NEW_TOKENS, MAX_TOOL_ROUNDS
from deepseek_math.interval import wilson
from deepseek_math.jobs.journal import Line

Grader = Literal["strict", "published"]
KEY: dict[Grader, str] = {"strict": "correct", "published": "published_correct"}
PUBLISHED = ("base", "instruct", "rl")  # checkpoints with published figures


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
    def other_correct(self) -> int:
        """By the grader that does not decide."""
        return self.published_correct if self.grader == "strict" else self.strict_correct

    @property
    def comparable(self) -> bool:
        return self.figure is not None and not self.differences

    @property
    def inside(self) -> bool | None:
        """Whether the published figure lies in the interval; None where there is none to compare with."""
        if self.figure is None or self.differences:
            return None
        return self.low <= self.figure <= self.high

    @property
    def reached(self) -> bool | None:
        """Inside the interval, or below the accuracy: that is, not over the interval's upper end."""
        if self.figure is None or self.differences:
            return None
        return self.figure <= self.high

    def record(self) -> dict[str, Any]:
        """For machines."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        fields |= {"accuracy": self.accuracy, "inside": self.inside, "reached": self.reached}
        for name, value in fields.items():
            if isinstance(value, float):
                fields[name] = round(value, 6)
        return fields

    def text(self) -> str:
        """For people, a few lines."""
        shots = f", {self.shots} shots" if self.shots else ""
        vote = f", majority of {self.samples}" if self.samples > 1 else ""
        title = BENCHMARKS[self.benchmark].title
        rows = [f"{title} ({self.mode}{shots}{vote}) on {self.checkpoint}, {self.engine}"]
        if self.questions == self.asked:
            rows.append(f"  questions  {self.asked}, each answered once")
        else:
            rows.append(f"  unfinished {self.questions} of {self.asked} questions answered")
        rows += [
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
        rows.append(f"  published  {self._verdict()}")
        return "\n".join(rows)

    def _verdict(self) -> str:
        if self.figure_of is None:
            return f"no figure for {self.checkpoint}; --published names the checkpoint whose figure to compare with"
        if self.figure is None:
            return f"no figure for {self.figure_of} in this mode"
        figure = f"{self.figure:.1%} for {self.figure_of}"
        if self.differences:
            return f"{figure}, not comparable: {'; '.join(self.differences)}"
        if self.inside:
            return f"{figure}: inside the interval"
        return f"{figure}: below the interval, reached" if self.reached else f"{figure}: above the interval"


def summarise(settings: Line, lines: Sequence[Line], grader: Grader, figure_of: str | None = None) -> Summary:
    """`lines` is not empty. `figure_of` None: the checkpoint that the run was started for, else the checkpoint itself
    or the one that it is a quantisation of."""
    figure_of = figure_of or settings.get("published") or _original(settings["checkpoint"])
    published = BENCHMARKS[settings["benchmark"]].published
    figure = published.get((figure_of, settings["mode"], settings["samples"])) if figure_of else None
    correct = {name: sum(line[key] for line in lines) for name, key in KEY.items()}
    low, high = wilson(correct[grader], len(lines))
    refused = Counter(line["error"] for line in lines if line["error"] is not None)
    undecided = sum(bool(line.get("undecided")) and not line[KEY[grader]] for line in lines)

    differences = _other_settings(settings, figure_of) if figure_of else []
    if len(lines) < settings["questions"]:
        differences.append(f"unfinished, {len(lines)} of {settings['questions']} questions are answered")
    unjudged = refused.total() + undecided
    if figure is not None and high < figure <= wilson(correct[grader] + unjudged, len(lines))[1]:
        or_undecided = " or left undecided" if undecided else ""
        differences.append(f"{unjudged} questions were refused{or_undecided}, which alone may be the reason")

    passed = samples_used = None
    if settings["samples"] > 1:
        passed = sum(line["passed"] for line in lines)
        samples_used = mean(line["samples_used"] for line in lines)
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
        passed=passed,
        samples_used=samples_used,
        unfinished=sum(line["finish_reason"] == "length" for line in lines),
        refused=dict(refused),
        undecided=undecided,
        tokens=sum(line["tokens"] for line in lines),
    )


def _original(checkpoint: str) -> str | None:
    """The checkpoint of the table whose figures are this one's: `rl` for `rl-q4_k_m`, none for other models."""
    original = checkpoint.partition("-")[0]
    return original if checkpoint in CHECKPOINTS and original in PUBLISHED else None


def _other_settings(settings: Line, figure_of: str) -> list[str]:
    """The settings that are not those of the published figure."""
    published = {
        "max_new_tokens": MAX_NEW_TOKENS[settings["mode"]],
        "max_tool_rounds": MAX_TOOL_ROUNDS[settings["mode"]],
        "shots": BENCHMARKS[settings["benchmark"]].shots.count if figure_of == "base" else 0,
    }
    differences = []
    for name, wanted in published.items():
        if settings[name] != wanted:
            differences.append(f"{name} {settings[name]}, published {wanted}")
    return differences
