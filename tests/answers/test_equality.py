r"""Two answers are the same when a mathematician says so: the rows are the specification, in both orders."""

import re

import pytest
from hypothesis import given, settings

from deepseek_math.answers.equality import equivalent
from deepseek_math.answers.extraction import extract, tidy
from deepseek_math.answers.reading import read
from deepseek_math.answers.spelling import key
from tests.support.answer_rows import NEIGHBOURS, REPORTED, TABLE, Row, anything

pytestmark = pytest.mark.unit

ROWS = TABLE + REPORTED + NEIGHBOURS
DRESSES = ["${}$", r"\({}\)", r"\[ {} \]", r"\boxed{{{}}}", r"  {}  ", "{}.", r"{}\,", r"\displaystyle {}", "**{}**"]


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.group}-{row.gold}-{row.prediction}"[:80] for row in ROWS])
def test_the_rows(row: Row) -> None:
    answer = extract(row.prediction).text if row.extracted else row.prediction
    if answer is None or row.gold is None:
        assert (answer == row.gold) is (row.expected or row.gold is None)
        return
    assert equivalent(row.gold, answer) is row.expected
    assert equivalent(answer, row.gold) is row.expected


def test_dress_changes_no_verdict() -> None:
    """Each row's answer is itself in dollars, in a box, with `\\left...\\right`, blanks, stars or a full stop."""
    answers = [row.gold or "" for row in ROWS] + [row.prediction for row in ROWS if not row.extracted]
    for at, answer in enumerate(answers):
        for dress in (DRESSES * 2)[at % len(DRESSES) :][:2] if balanced(answer) else []:
            assert equivalent(answer, dress.format(answer)), dress.format(answer)
        sized = re.sub(r"(?<![\\.])\(([^()\[\]]*)(?<!\\)\)", r"\\left(\1\\right)", answer)
        assert equivalent(answer, sized), sized


def test_tidying_changes_no_answer() -> None:
    for row in ROWS:
        if row.gold is not None and not row.extracted:
            assert equivalent(row.gold, tidy(row.gold)), tidy(row.gold)


def balanced(text: str) -> bool:
    """Whether a box can hold it as it is."""
    return bool(text) and text.count("{") == text.count("}") and "$" not in text and not text.endswith("\\")


@settings(max_examples=300, deadline=None)
@given(a=anything)
def test_every_answer_is_itself(a: str) -> None:
    assert equivalent(a, a)
    assert equivalent(a, f" ${a}$ ") or "$" in a or "\\" in a[-1:]


@settings(max_examples=300, deadline=None)
@given(a=anything)
def test_any_text_is_read(a: str) -> None:
    assert read(a) == read(a)
    if not a.endswith("\\"):  # a backslash before a blank is a blank of its own
        assert key(a) == key(a + " ")


@settings(max_examples=150, deadline=None)
@given(a=anything, b=anything)
def test_the_order_of_two_answers_does_not_matter(a: str, b: str) -> None:
    assert equivalent(a, b) is equivalent(b, a)
