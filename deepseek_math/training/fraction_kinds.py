"""The kinds of problem about fractions: adding, subtracting, multiplying and dividing two, reducing one."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from math import gcd
from operator import add, mul, sub, truediv
from random import Random

import sympy

from deepseek_math.language import Language
from deepseek_math.training import wording
from deepseek_math.training.problem import Kind, Parameters, Problem
from deepseek_math.training.sides import added_up, joined
from deepseek_math.training.wording import Wordings

OPERATIONS: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {"+": add, "-": sub, "×": mul, "÷": truediv}
SPELLINGS = ("{}/{}", "\\frac{{{}}}{{{}}}")
LOWEST: Wordings = {
    "en": ("Simplify {e}.", "Reduce {e} to lowest terms.", "What is {e} in lowest terms?"),
    "zh": ("化简{e}。", "把{e}化为最简分数。"),
}


def _draw(random: Random) -> Parameters:
    """Two fractions in lowest terms: a/b and c/d."""
    while True:
        b, d = random.randrange(2, 13), random.randrange(2, 13)
        a, c = random.randrange(1, b + 3), random.randrange(1, d + 3)
        if gcd(a, b) == 1 and gcd(c, d) == 1:
            return a, b, c, d


def _sides(sign: str, parameters: Parameters) -> list[str]:
    """Every side of the worked solution but the value, which is the last one."""
    a, b, c, d = parameters
    one, other = Fraction(a, b), Fraction(c, d)
    match sign:
        case "+":
            return [f"{one}+{other}", *added_up([one, other])]
        case "-":
            return [f"{one}-{other}", *added_up([one, -other])]
        case "×":
            return [f"{one}×{other}", f"({a}×{c})/({b}×{d})", f"{a * c}/{b * d}"]
        case _:
            return [f"{one}÷({other})", f"{one}×{d}/{c}", f"({a}×{d})/({b}×{c})", f"{a * d}/{b * c}"]


def _write(sign: str, parameters: Parameters, language: Language, worked: bool, random: Random) -> Problem:
    a, b, c, d = parameters
    value = OPERATIONS[sign](Fraction(a, b), Fraction(c, d))
    sides = _sides(sign, parameters)
    if not worked:
        sides = sides[:1]
    spelling = random.choice(SPELLINGS)
    question = wording.question(sign, spelling.format(a, b), spelling.format(c, d), language, random)
    return Problem(
        kind=f"fraction_{wording.NAMES[sign]}",
        parameters=parameters,
        language=language,
        question=question.replace("x ", "× ").replace("/ ", "÷ "),  # beside fractions those signs would be misread
        steps=joined([*sides, str(value)]),
        answer=sympy.Rational(value.numerator, value.denominator),
        program=f"from fractions import Fraction\nprint(Fraction({a},{b}){wording.PYTHON[sign]}Fraction({c},{d}))",
    )


def _draw_reducible(random: Random) -> Parameters:
    while True:
        a, b, factor = random.randrange(1, 20), random.randrange(2, 20), random.randrange(2, 10)
        if gcd(a, b) == 1:
            return a * factor, b * factor


def _write_lowest_terms(parameters: Parameters, language: Language, worked: bool, random: Random) -> Problem:
    a, b = parameters
    factor = gcd(a, b)
    numerator, denominator = a // factor, b // factor
    sides = [f"{a}/{b}", f"{numerator}/{denominator}"]
    if worked:
        sides.insert(1, f"({numerator}×{factor})/({denominator}×{factor})")
    spelling = random.choice(SPELLINGS)
    return Problem(
        kind="lowest_terms",
        parameters=parameters,
        language=language,
        question=random.choice(LOWEST[language]).format(e=spelling.format(a, b)),
        steps="=".join(sides),
        answer=sympy.Rational(a, b),
        program=f"from fractions import Fraction\nprint(Fraction({a},{b}))",
    )


KINDS = (
    Kind("fraction_sum", 2.5, _draw, partial(_write, "+")),
    Kind("fraction_difference", 2.5, _draw, partial(_write, "-")),
    Kind("fraction_product", 2, _draw, partial(_write, "×")),
    Kind("fraction_quotient", 2, _draw, partial(_write, "÷")),
    Kind("lowest_terms", 1, _draw_reducible, _write_lowest_terms),
)
