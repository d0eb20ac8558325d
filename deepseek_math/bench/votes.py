"""What counting a vote's samples in the order of their seeds costs, beside counting them as they finish.

Answers that a model gave (tests/data/answers.json: SmolLM2 135M, 24 questions, 64 seeds each) are voted on by both
rules, on an engine that is simulated: its slots take the samples in the order of their seeds and make a token each
step. No lengths were recorded, so they are drawn: log-normal, the mean 200 tokens, the same for both rules. Answers are
equal where they are spelt alike. Prints a table for docs/voting.md; the last line is JSON.
"""

import argparse
import asyncio
import heapq
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import mean

from deepseek_math.answers.spelling import key
from deepseek_math.answers.voting import Vote
from deepseek_math.bench.command import parser_of, status_of
from deepseek_math.bench.streams import BenchError
from deepseek_math.paths import ROOT

ANSWERS = ROOT / "tests/data/answers.json"
MEAN_TOKENS, SPREAD = 200.0, 0.5  # of a completion; the spread is the logarithm's standard deviation
SLOTS = 16
SETTINGS = ((16, 1.0), (16, 0.95), (64, 1.0), (64, 0.95))  # samples, stop_when_sure

Answers = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Run:
    """When each of a vote's samples begins and ends, in steps of the engine, by seed."""

    begins: Sequence[int]
    ends: Sequence[int]

    def tokens(self, step: int) -> int:
        """Tokens of all samples up to a step."""
        return sum(max(0, min(end, step) - begin) for begin, end in zip(self.begins, self.ends, strict=True))

    def finished(self, step: int) -> int:
        return sum(end <= step for end in self.ends)


@dataclass(frozen=True, slots=True)
class Decision:
    counted: int  # samples
    finished: int  # samples, those that wait to be counted among them
    tokens: int  # generated, of all samples
    step: int
    answer: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """Means over questions and runs; `by_seed` and `as_finished` are of the two rules."""

    samples: int
    sure: float
    counted: tuple[float, float]  # as finished, by seed
    finished: tuple[float, float]
    tokens_ratio: float  # by seed over as finished
    time_ratio: float
    other_answer: float  # share of votes that the two rules decide otherwise


def read(file: Path) -> dict[str, Answers]:
    """The answers by seed of each question, in one spelling for all that are spelt alike. Raises BenchError."""
    try:
        questions = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise BenchError(f"{file} has no recorded answers: {error}") from error
    recorded: dict[str, Answers] = {}
    for question, answers in questions.items():
        recorded[question] = [answer and key(answer) for answer in answers]
    return recorded


def simulate(samples: int, slots: int, random: Random) -> Run:
    """The slots take the samples in order; every sample at work makes one token a step."""
    lengths = [
        max(1, round(random.lognormvariate(math.log(MEAN_TOKENS) - SPREAD**2 / 2, SPREAD))) for _ in range(samples)
    ]
    free = [0] * slots
    begins, ends = [], []
    for length in lengths:
        begins.append(heapq.heappop(free))
        ends.append(begins[-1] + length)
        heapq.heappush(free, ends[-1])
    return Run(begins, ends)


async def decide(answers: Answers, sure: float, order: Iterable[tuple[int, int]], run: Run) -> Decision:
    """The vote over `order`, which has each sample and the step at which it may be counted."""
    vote = Vote(len(run.ends), sure, _same)
    step = 0
    for sample, counted_at in order:
        step = counted_at
        await vote.add(sample, answers[sample])
        if vote.decided:
            break
    leader = vote.leader.answer if vote.leader else None
    return Decision(vote.counted, run.finished(step), run.tokens(step), step, leader)


async def _same(a: str, b: str) -> bool:
    return a == b


def as_finished(run: Run) -> list[tuple[int, int]]:
    return sorted(enumerate(run.ends), key=lambda sample: sample[1])


def by_seed(run: Run) -> list[tuple[int, int]]:
    """A sample is counted once all before it have finished."""
    counted_at, order = 0, []
    for sample, end in enumerate(run.ends):
        counted_at = max(counted_at, end)
        order.append((sample, counted_at))
    return order


async def compare(recorded: Mapping[str, Answers], samples: int, sure: float, runs: int) -> Row:
    """Both rules on each question, on the same runs of the engine."""
    pairs = []
    for number in range(runs):
        random = Random(number)
        for answers in recorded.values():
            run = simulate(samples, SLOTS, random)
            former = await decide(answers, sure, as_finished(run), run)
            now = await decide(answers, sure, by_seed(run), run)
            pairs.append((former, now))
    formers, nows = zip(*pairs, strict=True)
    return Row(
        samples,
        sure,
        counted=(mean(one.counted for one in formers), mean(one.counted for one in nows)),
        finished=(mean(one.finished for one in formers), mean(one.finished for one in nows)),
        tokens_ratio=mean(one.tokens for one in nows) / mean(one.tokens for one in formers),
        time_ratio=mean(one.step for one in nows) / mean(one.step for one in formers),
        other_answer=mean(former.answer != now.answer for former, now in pairs),
    )


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| samples, `stop_when_sure` | counted, as they finish | counted, by seed | finished, as they finish "
        "| finished, by seed | tokens | time | another answer |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.samples}, {row.sure:g} | {row.counted[0]:.1f} | {row.counted[1]:.1f} | {row.finished[0]:.1f} "
            f"| {row.finished[1]:.1f} | {row.tokens_ratio:.3f} | {row.time_ratio:.3f} | {row.other_answer:.1%} |"
        )
    return "\n".join(lines)


def _bench(options: argparse.Namespace) -> None:
    recorded = read(options.answers)
    rows = [asyncio.run(compare(recorded, samples, sure, options.runs)) for samples, sure in SETTINGS]
    print(table(rows))
    print(json.dumps([asdict(row) for row in rows]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("bench votes", __doc__)
    parser.add_argument("--answers", type=Path, default=ANSWERS, help="a JSON file: answers by seed for each question")
    parser.add_argument("--runs", type=int, default=50, help="of the engine for each question (default: 50)")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error(f"--runs {options.runs}: use 1 or more")
    return status_of(lambda: _bench(options))
