"""A vote counts right, ends as early as it may, and no earlier."""

import json
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from deepseek_math.answers.voting import Vote, probability_ahead
from tests.support.record_answers import FILE

pytestmark = pytest.mark.unit

RECORDED: dict[str, list[str | None]] = json.loads(Path(FILE).read_text())
ORDERS = 10_000


async def same_text(a: str, b: str) -> bool:
    return a == b


async def count(answers: list[str | None], sure: float = 1.0, stop: bool = True, samples: int | None = None) -> Vote:
    """The vote after these answers, or after as many as it needs."""
    vote = Vote(samples or len(answers), sure, same_text)
    for sample, answer in enumerate(answers):
        if stop and vote.decided:
            break
        await vote.add(sample, answer)
    return vote


TALLIES: list[tuple[str, str, str]] = [
    # answers in the order they come ("-" abstains), tally, why
    ("a", "a1", "one answer"),
    ("a a b", "a2 b1", "most votes first"),
    ("a b b", "b2 a1", "the second answer overtakes"),
    ("a b b a", "b2 a2", "a tie goes to the one who had that many first"),
    ("a b c c b a", "c2 b2 a2", "in a tie of three too"),
    ("a b a b b a", "b3 a3", "and after a change of the lead"),
    ("- a - -", "a1", "who states no answer has no vote"),
    ("- -", "", "nobody answers"),
]


@pytest.mark.parametrize(("answers", "tally", "why"), TALLIES)
async def test_the_tally(answers: str, tally: str, why: str) -> None:
    vote = await count([None if answer == "-" else answer for answer in answers.split()], stop=False)
    assert " ".join(f"{row['answer']}{row['count']}" for row in vote.tally()) == tally, why
    assert vote.counted == len(answers.split())


async def test_answers_are_grouped_by_what_they_mean() -> None:
    async def same(a: str, b: str) -> bool:
        return Fraction(a) == Fraction(b)

    vote = Vote(4, 1.0, same)
    for sample, answer in enumerate(("0.5", "2", "1/2", "4/2")):
        await vote.add(sample, answer)
    assert vote.tally() == [{"answer": "0.5", "count": 2}, {"answer": "2", "count": 2}]
    assert [group.samples for group in vote.groups] == [[0, 2], [1, 3]]


ENDS: list[tuple[str, int, int, str]] = [
    # answers, samples in all, samples used, why
    ("aaaaa", 8, 4, "four of eight: another answer can at most tie, and later"),
    ("aaab", 4, 2, "two of four"),
    ("aaa", 3, 2, "two of three"),
    ("abababab", 8, 7, "a tie is not a victory for the one who comes second"),
    ("aabbbacb", 8, 8, "open to the end"),
    ("ab-----", 7, 7, "one vote left may decide"),
    ("a-------", 8, 7, "one vote left could only tie"),
    ("--------", 8, 8, "without any answer there is no winner to be sure of"),
]


@pytest.mark.parametrize(("answers", "samples", "used", "why"), ENDS)
async def test_the_exact_rule_ends_where_nothing_can_change(answers: str, samples: int, used: int, why: str) -> None:
    vote = await count([None if answer == "-" else answer for answer in answers], samples=samples)
    assert (vote.counted, vote.decided) == (used, True), why


def test_the_probability_is_the_integral_it_stands_for() -> None:
    """Beta(first + 1, second + 1) over 1/2, summed numerically."""
    for first, second in ((0, 0), (1, 0), (4, 0), (5, 2), (20, 13), (40, 24)):
        points = [(place + 0.5) / 20_000 for place in range(20_000)]
        weights = [p**first * (1 - p) ** second for p in points]
        above = sum(weights[len(weights) // 2 :]) / sum(weights)
        assert probability_ahead(first, second) == pytest.approx(above, abs=1e-6)


async def test_below_one_a_sure_lead_is_enough() -> None:
    """4 to 0 is the first unanimous lead that is right with 0.95: 31/32."""
    for sure, used in ((0.5, 1), (0.9, 3), (0.95, 4), (0.99, 6), (1.0, 32)):
        assert (await count(["a"] * 64, sure)).counted == used
    assert (await count([None] * 8, 0.5)).counted == 8
    tied = Vote(64, 0.5, same_text)
    for sample, answer in enumerate("ab"):
        await tied.add(sample, answer)
    assert not tied.decided  # a tie is no lead


async def differences(sure: float, samples: int, orders: int) -> tuple[int, float]:
    """In how many of `orders` random orders the early winner is another one than the full vote's, and the mean number
    of samples used. The full vote goes on in the same order."""
    shuffle = random.Random(samples)
    different, used = 0, 0
    for turn in range(orders):
        answers = shuffle.sample(list(RECORDED.values())[turn % len(RECORDED)], samples)
        early, full = await count(answers, sure), await count(answers, stop=False)
        used += early.counted
        assert full.leader is not None
        different += early.leader is None or early.leader.answer != full.leader.answer
    return different, used / orders


@pytest.mark.parametrize("samples", [16, 64])
async def test_the_exact_rule_never_changes_the_winner(samples: int) -> None:
    different, used = await differences(1.0, samples, ORDERS)
    print(f"exact, {samples} samples: {used:.1f} used, winner changed in {different} of {ORDERS} orders")
    assert different == 0
    assert used < samples


@pytest.mark.parametrize("samples", [16, 64])
async def test_a_vote_that_is_95_percent_sure_seldom_changes_the_winner(samples: int) -> None:
    different, used = await differences(0.95, samples, ORDERS)
    print(f"0.95, {samples} samples: {used:.1f} used, winner changed in {different} of {ORDERS} orders")
    assert different <= 0.05 * ORDERS
    assert used < samples


def test_the_recorded_answers_are_a_fair_field() -> None:
    """Some questions with a clear winner, some with none: on easy ones alone every rule would look good."""
    shares = [max(Counter(filter(None, answers)).values()) / len(answers) for answers in RECORDED.values()]
    assert len(RECORDED) >= 20
    assert all(len(answers) == 64 for answers in RECORDED.values())
    assert min(shares) < 0.25
    assert max(shares) > 0.6
