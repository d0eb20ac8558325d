"""The interval, and which published figure a run is held against, if any."""

import json
from typing import Any

import pytest

from deepseek_math.evaluation.summary import Summary, summarise
from deepseek_math.interval import wilson
from tests.evaluation.test_report import HEADER

pytestmark = pytest.mark.unit

RIGHT: dict[str, Any] = {
    "correct": True,
    "published_correct": True,
    "finish_reason": "stop",
    "error": None,
    "tokens": 3,
}
WRONG = RIGHT | {"correct": False, "published_correct": False}
REFUSED = WRONG | {"error": "context_exceeded", "finish_reason": "error"}


def of(*lines: dict[str, Any], asked: str | None = None, **header: Any) -> Summary:
    return summarise(HEADER | {"questions": len(lines)} | header, lines, "strict", asked)


@pytest.mark.parametrize(
    ("correct", "questions", "low", "high"),
    [  # Wilson's interval, worked out by hand to four digits; the last are the published RL figure on GSM8K
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 1, 0.2065, 1.0),
        (1164, 1319, 0.8640, 0.8988),
    ],
)
def test_the_interval_is_wilson_s(correct: int, questions: int, low: float, high: float) -> None:
    assert wilson(correct, questions) == pytest.approx((low, high), abs=5e-5)


def test_the_figure_is_the_checkpoint_s_own_or_the_one_asked_for() -> None:
    for checkpoint, asked, figure_of, figure in [
        ("instruct", None, "instruct", 1093 / 1319),
        ("rl-q4_k_m", None, "rl", 1164 / 1319),
        ("my-rl", "rl", "rl", 1164 / 1319),
        ("my-rl", None, None, None),
        ("llm-7b-base", None, None, None),
        ("llm-7b-chat", None, None, None),
        ("smollm2-135m", None, None, None),
        ("tiny-rl", None, None, None),
    ]:
        found = of(RIGHT, checkpoint=checkpoint, asked=asked)
        assert (found.figure_of, found.figure) == (figure_of, figure)
        assert found.reached is (None if figure is None else True)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"max_new_tokens": 512}, "max_new_tokens 512, published 1024"),
        ({"shots": 8}, "shots 8, published 0"),
        ({"checkpoint": "base", "shots": 4}, "shots 4, published 8"),
        ({"mode": "tool", "max_new_tokens": 1024, "max_tool_rounds": 2}, "max_new_tokens 1024, published 2048"),
        ({"mode": "tool", "max_new_tokens": 2048, "max_tool_rounds": 4}, "max_tool_rounds 4, published 2"),
        ({"questions": 9}, "unfinished, 1 of 9 questions are answered"),
    ],
)
def test_what_was_run_otherwise_than_published_is_not_held_against_it(settings: dict[str, Any], told: str) -> None:
    found = of(RIGHT, **settings)
    assert (found.differences, found.reached, found.inside) == ((told,), None, None)
    assert f"not comparable: {told}" in found.text()


def test_what_was_run_as_published_is_held_against_it() -> None:
    assert of(RIGHT, checkpoint="base", shots=8).reached is True
    assert of(RIGHT, mode="tool", max_new_tokens=2048, max_tool_rounds=2).reached is True


def test_refused_questions_are_wrong_and_named_but_are_no_verdict() -> None:
    found = of(*[RIGHT] * 5, *[REFUSED] * 5)
    assert (found.correct, found.refused, found.reached) == (5, {"context_exceeded": 5}, None)
    assert "refused    5 questions, which count as wrong: context_exceeded 5" in found.text()
    assert of(*[RIGHT] * 30, REFUSED).reached is True
    assert of(*[WRONG] * 30, REFUSED).reached is False


def test_the_summary_says_whether_every_question_was_answered() -> None:
    assert "questions  3, each answered once" in of(*[RIGHT] * 3).text()
    assert "unfinished 3 of 7 questions answered" in of(*[RIGHT] * 3, questions=7).text()


def test_questions_that_no_comparison_decided_are_counted_apart() -> None:
    found = of(RIGHT | {"undecided": "took over 2 s"}, WRONG, WRONG | {"undecided": "took over 2 s"})
    assert found.undecided == 1  # the other one is right all the same
    assert "undecided  1 questions, which count as wrong" in found.text()
    assert "undecided" not in of(RIGHT, WRONG).text()


def test_what_was_left_undecided_is_no_verdict_where_it_alone_may_be_the_reason() -> None:
    undecided = WRONG | {"undecided": "took over 2 s"}
    lost = of(*[WRONG] * 30)
    assert (lost.reached, lost.differences) == (False, ())
    found = of(*[undecided] * 30)
    told = "30 questions were refused or left undecided, which alone may be the reason"
    assert (found.reached, found.differences) == (None, (told,))


def test_completions_cut_off_are_counted() -> None:
    assert of(RIGHT, RIGHT | {"finish_reason": "length"}).unfinished == 1


def test_the_last_line_is_json_for_machines() -> None:
    record = of(RIGHT).record()
    assert json.loads(json.dumps(record))["reached"] is True
    assert set(record) >= {"benchmark", "accuracy", "low", "high", "figure", "inside", "reached", "tokens", "refused"}
