"""Which option an answer chooses."""

import pytest

from deepseek_math.evaluation.benchmark import Question
from deepseek_math.evaluation.benchmarks import BENCHMARKS
from deepseek_math.evaluation.choice import choice

OPTIONS = {"A": "$\\frac{1}{2}$", "B": "They move, because they are charged", "C": ".5, 0.4", "D": "(A), (B), and (C)"}
CHOICES: list[tuple[str | None, str | None]] = [
    ("B", "B"),
    ("b", "B"),
    ("(B)", "B"),
    ("（B）", "B"),
    ("【B】", "B"),
    ("B.", "B"),
    ("B。", "B"),
    ("B选项", "B"),
    ("选项B", "B"),
    ("Option B", "B"),
    ("option (b)", "B"),
    (r"\text{Option B}", "B"),
    (r"\textbf{(B)}", "B"),
    (r"\mathbf{B}", "B"),
    ("**B**", "B"),
    (r"\textbf{(A)} \frac{1}{2}", "A"),
    (r"\text{(A) }\frac{1}{2}", "A"),
    (r"A: $\frac{1}{2}$", "A"),
    ("(B) They move", "B"),
    ("(B) They move, because they are charged", "B"),
    ("(B) They", None),
    ("(B) They do not move", None),
    ("(C) .5, 0.4", "C"),
    ("(C) .5", "C"),
    ("(D) (A), (B), and (C)", "D"),
    ("(A) .5, 0.4", None),
    ("AD", "AD"),
    ("(AD)", "AD"),
    ("A, D", "AD"),
    ("D、A", "AD"),
    ("A B D", "ABD"),
    ("(A) and (D)", "AD"),
    ("AD选项", "AD"),
    ("b + c", None),
    ("Because", None),
    ("E = mc^2", None),
    ("", None),
    (None, None),
]


@pytest.mark.parametrize(("answer", "chosen"), CHOICES)
def test_a_choice_is_its_letters_alone_or_with_its_option_s_own_text(answer: str | None, chosen: str | None) -> None:
    question = Question("q", "?", "B", ("B",), options=OPTIONS)
    assert choice(question, answer) == chosen


def test_hostile_answers_are_read_in_linear_time() -> None:
    """Seconds here; where time grew with the square of the length, or faster, this would not end."""
    question = Question("q", "?", "B", ("B",), options=OPTIONS)
    length = 100_000
    for answer in ("A" + " , B" * length + " z", "A" + " " * length + "z", "option " * length, "A. " + ", " * length):
        assert choice(question, answer) is None


def test_options_come_from_the_row_whatever_the_texts_look_like() -> None:
    sat = {"question": "?", "options": "A. 1,190 B. (A) C. 2,900 D. x", "Answer": "C"}
    question = BENCHMARKS["sat"].read(sat, "q")
    assert question.options == {"A": "1,190", "B": "(A)", "C": "2,900", "D": "x"}
    assert question.text.endswith("\n(A. 1,190 B. (A) C. 2,900 D. x")  # as the published prompt has it
    qa = {"question": "?", "options": ["(A)(B)", "(B)(A)"], "label": "A B"}
    assert BENCHMARKS["gaokao_mathqa"].read(qa, "q").options == {"A": "(B)", "B": "(A)"}
    mmlu = {"question": "?", "options": ["(B)", "1, (A) 2"], "answer": "A"}
    assert BENCHMARKS["mmlu_stem"].read(mmlu, "q").options == {"A": "(B)", "B": "1, (A) 2"}
