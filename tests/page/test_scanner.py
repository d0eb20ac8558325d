"""Formulas are found where they stand, money and code are left alone, and no piece of a text is ever lost."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_math.page.scanner import scan
from tests.page.texts import REPORTS, TEXTS, MathText, normal

pytestmark = pytest.mark.unit


def formulas(text: str, finished: bool = True) -> list[str]:
    return [normal(piece.content) for piece in scan(text, finished) if piece.kind == "formula"]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.name)
def test_exactly_the_formulas_are_found(text: MathText) -> None:
    assert formulas(text.text) == [normal(formula) for formula in text.formulas]


@pytest.mark.parametrize(("text", "expected"), REPORTS)
def test_other_reports_of_the_same_kinds(text: str, expected: list[str]) -> None:
    assert formulas(text) == [normal(formula) for formula in expected]


@pytest.mark.parametrize("text", [*(text.text for text in TEXTS), *(text for text, _ in REPORTS)])
def test_what_was_set_while_a_text_arrives_stays_set(text: str) -> None:
    whole = formulas(text)
    for end in range(len(text)):
        found = formulas(text[:end], finished=False)
        assert found == whole[: len(found)], text[:end]


def test_an_open_formula_is_its_source_until_it_closes() -> None:
    for opening in (
        "$x^2",
        "$$x^2",
        r"\(x^2",
        "\\[\nx^2",
        r"\begin{align} x &= 1 \\",
        r"\boxed{\frac{1}{2}",
        r"\boxed",
    ):
        *_, last = scan(f"It is 5, so {opening}", finished=False)
        assert (last.kind, last.text) == ("source", opening)


def test_a_formula_that_never_closes_hides_no_other() -> None:
    assert formulas(r"First \( x, then $y$ and \(z\).") == ["y", "z"]
    assert formulas("First $x + 1\n\nthen $y$.") == ["y"]
    assert formulas(r"First \[ x, then \[ y \].") == ["y"]


def test_code_hides_what_is_in_it() -> None:
    kinds = [(piece.kind, piece.language) for piece in scan("```python\n$x$\n```\n```output\n$5\n```\nSo $x$.\n")]
    assert kinds == [("code", "python"), ("text", ""), ("code", "output"), ("text", ""), ("formula", ""), ("text", "")]
    assert formulas("```\n$x$\n", finished=False) == []
    assert formulas("- a\n  ~~~\n  $x$\n  ~~~\n  $y$") == ["y"]


def test_a_display_is_one_that_fills_its_lines() -> None:
    displays = [
        piece.display for piece in scan("$$a$$ b\n$$c$$\n- $$\n  d\n  $$\n\\[e\\] f $g$") if piece.kind == "formula"
    ]
    assert displays == [False, True, True, True, False]


PARTS = [
    "$",
    "$$",
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "\\\\(",
    "\\\\)",
    "{",
    "}",
    "\\begin{align}",
    "\\end{align}",
    "\\boxed{",
    "`",
    "```\n",
    "\n\n",
]


@given(st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=5))).map("".join), st.booleans())
def test_the_pieces_are_the_text(text: str, finished: bool) -> None:
    assert "".join(piece.text for piece in scan(text, finished)) == text


@pytest.mark.parametrize(
    "part",
    ["$", "$x ", "${", "$$ {", "\\(", "\\[x", "\\\\(", "\\\\[x", "\\begin{align}", "\\boxed{", "` `` ", "a", "\n "],
)
def test_a_long_text_of_anything_ends(part: str) -> None:
    text = part * (200_000 // len(part))
    began = time.process_time()
    assert "".join(piece.text for piece in scan(text)) == text
    assert time.process_time() - began < 60  # linear: 1 or 2 s; quadratic: an hour
