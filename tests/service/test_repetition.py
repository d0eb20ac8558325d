"""Where a text repeats itself, and where a sample of a vote is ended for it: never where its answer is still open."""

from math import log

import pytest

from deepseek_math.answers.extraction import extract
from deepseek_math.completion import Completion
from deepseek_math.repetition import EndlessWatch, Repetition, repetition
from deepseek_math.sampling import Sampling

pytestmark = pytest.mark.unit

WARM = Sampling(temperature=0.7, top_p=0.95)
CERTAIN, OPEN = log(0.96), log(0.94)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("The answer is 5.", None),
        ("So it is. So it is. ", None),
        ("So it is. So it is. So it is. ", Repetition(10, 3)),
        ("First: 2. So it is. So it is. So it is.", Repetition(10, 3)),
        ("So it is. So it is. So it is. So i", Repetition(10, 3)),
        ("So it is. So it is. So it is. So it is. \n\n", Repetition(10, 3)),
        ("So it is. So it is. So it is. But no.", None),
        ("所以答案是五。" * 40, Repetition(7, 40)),
        ("x = 1000000000", None),
        ("x = 0.33333333333", None),
        ("x = " + "3" * 20, Repetition(1, 20)),
        ("\n" * 50, Repetition(1, 50)),
        ("ab" * 5 + "c" * 30, Repetition(1, 30)),
        ("aab" * 12, Repetition(3, 12)),
        ("A" * 3000 + "B" * 3000 + "C", None),
    ],
)
def test_the_shortest_period_at_the_end_counts(text: str, expected: Repetition | None) -> None:
    assert repetition(text) == expected


def ended_at(text: str, sampling: Sampling = WARM, logprobs: float | None = CERTAIN, free: int = 0) -> int | None:
    """Characters of the text after which the sample is ended: one token a character, the first `free` of them open."""
    completion = Completion()
    endless = EndlessWatch(completion, sampling)
    for place, letter in enumerate(text):
        completion.text += letter
        completion.tokens += 1
        if logprobs is not None:
            completion.logprobs.append(OPEN if place < free else logprobs)
        if endless.ends():
            return place + 1
    return None


LOOP = "The sum is even. "
START = "We add: 2 + 3 = 5. The answer is 5. "


def test_a_sample_that_can_do_nothing_but_repeat_itself_is_ended() -> None:
    text = START + LOOP * 100
    end = ended_at(text, free=len(START))
    assert end is not None
    assert end < len(text) / 2
    assert extract(text[:end]).text == extract(text).text == "5"


def test_it_is_ended_no_sooner_than_after_a_claim_of_an_answer_would_be_over() -> None:
    text = START + LOOP * 100
    end = ended_at(text, free=len(START))
    assert end is not None
    assert end - len(START) > 500
    other = "".join(f"step {number}, " for number in range(80))  # forced too, but no repetition
    end = ended_at(other + text)
    assert end is not None
    assert end - len(other + START) > 500


@pytest.mark.parametrize(
    ("why", "loop"),
    [
        ("the limit may cut a number", "The answer is 12. "),
        ("it boxes two answers in turn", "So $\\boxed{1}$. Or rather $\\boxed{2}$. "),
        ("it says two answers in turn", "The answer is 5. No, the answer is 6. "),
        ("it may close a box", "5} and "),
        ("it may close a block", "x = 1\n```\n"),
        ("its period is too long", "".join(f"step {number}, " for number in range(40))),
    ],
)
def test_a_sample_whose_answer_is_open_is_not_ended(why: str, loop: str) -> None:
    text = START + loop * (4000 // len(loop))
    assert ended_at(text, free=len(START)) is None, why


@pytest.mark.parametrize(
    ("why", "sampling", "logprobs"),
    [
        ("another token could be drawn", WARM, OPEN),
        ("top_p leaves every token", Sampling(temperature=0.7, top_p=1.0), 0.0),
        ("temperature makes others likelier", Sampling(temperature=1.5, top_p=0.95), CERTAIN),
        ("the engine tells no likelihoods", WARM, None),
    ],
)
def test_a_sample_that_may_yet_leave_is_not_ended(why: str, sampling: Sampling, logprobs: float | None) -> None:
    assert ended_at(START + LOOP * 100, sampling, logprobs, len(START)) is None, why


def test_one_open_token_begins_the_count_anew() -> None:
    text = START + LOOP * 100
    free = len(START + LOOP * 50)
    end = ended_at(text, free=free)
    assert end is not None
    assert end > free + 500


def test_a_loop_that_boxes_one_answer_again_and_again_is_settled() -> None:
    text = "So $\\boxed{12}$. " * 100
    end = ended_at(text)
    assert end is not None
    assert {extract(text[:cut]).text for cut in range(end, len(text))} == {"12"}
