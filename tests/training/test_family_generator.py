"""The generator of the tiny family's problems: every answer and step true, and nothing held out is trained on."""

from dataclasses import replace
from random import Random

import pytest
import sympy

from deepseek_math.answers.extraction import extract
from deepseek_math.answers.spelling import key
from deepseek_math.language import language
from deepseek_math.prompts import TOOL_SUFFIX
from deepseek_math.training.arithmetic import brief, operate
from deepseek_math.training.check import check, printed
from deepseek_math.training.documents import conversation, document, statement
from deepseek_math.training.equations import Wrong, equations
from deepseek_math.training.generator import KINDS, distinct, draw
from deepseek_math.training.problem import Problem, held_out, latex

COUNT = 3000


@pytest.fixture(scope="module")
def problems() -> dict[bool, list[Problem]]:
    """Held out, or not: half of the problems each. `draw` itself raises Wrong for a false step or program."""
    random = Random(7)
    return {held: [draw(random, held=held) for _ in range(COUNT // 2)] for held in (True, False)}


def test_three_thousand_problems_state_the_answer_that_sympy_finds(problems: dict[bool, list[Problem]]) -> None:
    for problem in problems[True] + problems[False]:
        said = extract(problem.solution)
        assert said.source == "boxed"
        assert said.text is not None
        assert key(said.text) == key(latex(problem.answer)), problem
        output = problem.program_solution.partition("```output\n")[2].partition("\n```")[0]
        assert sympy.sympify(output) == problem.answer, problem


def test_the_held_out_problems_share_no_parameters_with_the_others(problems: dict[bool, list[Problem]]) -> None:
    held, trained = ({(one.kind, one.parameters) for one in problems[side]} for side in (True, False))
    assert not held & trained
    assert len(held) > 700
    assert all(held_out(*name) for name in held)
    questions = [{one.question for one in problems[side]} for side in (True, False)]
    assert not questions[0] & questions[1]


def test_the_field_is_what_the_readme_names() -> None:
    words = [name for name in KINDS if name.startswith("word_")]
    assert len(words) >= 30
    assert {"sum", "difference", "product", "quotient", "fraction_sum", "percent_of"} <= set(KINDS)
    assert {"integral", "derivative", "slope", "linear_one_side", "linear_two_sides"} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_asks_in_both_languages_and_its_language_is_the_service_s(kind: str) -> None:
    random = Random(3)
    drawn = [draw(random, held=False, kind=kind) for _ in range(60)]
    assert {one.language for one in drawn} == {"en", "zh"}
    assert all(language(one.question) == one.language for one in drawn)
    assert all("{" not in one.question.replace("\\frac{", "").replace("_{", "").replace("^{", "") for one in drawn
               if "}{" not in one.question)  # fmt: skip


def test_a_false_step_is_found() -> None:
    random, found = Random(5), 0
    for _ in range(300):
        problem = draw(random, held=False)
        places = [place for place, letter in enumerate(problem.steps) if letter.isdigit()]
        place = random.choice(places)
        other = str((int(problem.steps[place]) + random.randrange(1, 10)) % 10)
        steps = problem.steps[:place] + other + problem.steps[place + 1 :]
        try:
            check(replace(problem, steps=steps))
        except (Wrong, ZeroDivisionError):
            found += 1
    assert found > 285  # some changes are true: the name of a function's argument, 0×3=0×4


def test_steps_that_lead_elsewhere_are_found() -> None:
    problem = draw(Random(1), held=False, kind="sum")
    with pytest.raises(Wrong, match="does not end in"):
        check(replace(problem, steps="1+1=2"))
    with pytest.raises(Wrong, match="no step"):
        check(replace(problem, steps="It is so."))


def test_a_false_program_is_found() -> None:
    problem = draw(Random(1), held=False, kind="sum")
    with pytest.raises(Wrong, match="prints"):
        check(replace(problem, program="print(1-1)"))


def test_without_working_the_answer_is_the_same_and_the_text_shorter() -> None:
    for kind in ("product", "integral", "fraction_sum"):
        worked, brisk = (draw(Random(4), held=False, worked=worked, kind=kind) for worked in (True, False))
        assert worked.answer == brisk.answer
        assert len(brisk.steps) < len(worked.steps)


def test_arithmetic_is_worked_digit_by_digit() -> None:
    assert operate("+", 478, 36) == "478+36 [8+6=14,7+3+1=11,4+0+1=5]=514"
    assert operate("-", 502, 47) == "502-47 [12-7=5,10-4-1=5,5-0-1=4]=455"
    assert operate("÷", 8424, 36).endswith("36×4=144,144-144=0]=234")
    assert brief("+", 12, 30) == "12+30=42"
    random = Random(2)
    for _ in range(500):
        a, b = random.randrange(1, 10_000), random.randrange(1, 10_000)
        for sign in "+-×":
            assert equations(operate(sign, a, b), {}) >= 1
        assert equations(operate("÷", a * b, b), {}) >= 1


def test_the_same_seed_draws_the_same_problems() -> None:
    assert [one.question for one in distinct(9, 50, held=True)] == [one.question for one in distinct(9, 50, held=True)]
    assert document(Random(3)) == document(Random(3))


def test_texts_for_the_base_model_and_for_conversations() -> None:
    problem = draw(Random(1), held=False, kind="sum")
    asked = replace(problem, question="What is the sum of 1 and 2?")
    assert statement(asked).startswith("The sum of 1 and 2 is ")
    talk = conversation(asked, "tool")
    assert talk.prompt.startswith("User: What is the sum")
    assert talk.prompt.endswith(TOOL_SUFFIX[asked.language] + "\n\nAssistant:")
    assert talk.completion.startswith(" ")


def test_programs_of_the_field_run() -> None:
    assert printed("from sympy import *\nx=symbols('x')\nprint(integrate(x**2,(x,0,2)))") == "8/3"
    assert printed("cost=3*4\nprint(cost)") == "12"
