"""The kinds of problem about a linear equation in one unknown, in three forms."""

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import gcd
from random import Random

import sympy

from deepseek_math.language import Language
from deepseek_math.training.arithmetic import brief
from deepseek_math.training.problem import Kind, Parameters, Problem
from deepseek_math.training.wording import Wordings

SOLVE: Wordings = {
    "en": ("Solve {e}.", "Solve {e} for x.", "Solve for x: {e}", "If {e}, what is x?", "Find x if {e}.", "{e}, x = ?"),
    "zh": ("解方程{e}。", "解方程：{e}", "若{e}，求x。", "已知{e}，x等于多少？"),
}


@dataclass(frozen=True, slots=True)
class _Equation:
    """`text` as people write it, `python` as the two arguments of sympy's Eq, and how it becomes a x + b = right."""

    text: str
    python: str
    first_lines: tuple[str, ...]
    a: int
    b: int
    right: int


def _draw(form: str, random: Random) -> Parameters:
    """The numbers of an equation: (a, b, right side), and for `two_sides` c before the right side: ax+b=cx+d."""
    while True:
        a, b, x = random.randrange(2, 13), random.randrange(-50, 51), random.randrange(-12, 31)
        c = random.randrange(1, 12)
        if b == 0 or x == 0:
            continue
        match form:
            case "one_side":
                right = a * x + b
                if random.random() >= 0.8:
                    right += random.randrange(1, a)  # x is a fraction then
                return a, b, right
            case "brackets":
                added = b // 4 or 1
                return a, added, a * (x + added)
        if a > c:
            return a, b, c, a * x + b - c * x


def _one_side(parameters: Parameters) -> _Equation:
    """ax+b=right"""
    a, b, right = parameters
    return _Equation(f"{a}x{_signed(b)}={right}", f"{a}*x{_signed(b)},{right}", (), a, b, right)


def _two_sides(parameters: Parameters) -> _Equation:
    """ax+b=cx+d"""
    a, b, c, d = parameters
    text = f"{a}x{_signed(b)}={_times_x(c)}{_signed(d)}"
    python = f"{a}*x{_signed(b)},{c}*x{_signed(d)}"
    moved = f"{a}x-{_times_x(c)}={d}{_signed(-b)}"
    return _Equation(text, python, (moved,), a - c, b, d)


def _brackets(parameters: Parameters) -> _Equation:
    """a(x+b)=right"""
    a, b, right = parameters
    divided = f"x{_signed(b)}={right}÷{a}={right // a}"
    return _Equation(f"{a}(x{_signed(b)})={right}", f"{a}*(x{_signed(b)}),{right}", (divided,), 1, b, right // a)


FORMS = {"one_side": _one_side, "two_sides": _two_sides, "brackets": _brackets}
WEIGHTS = {"one_side": 3, "two_sides": 3, "brackets": 2}


def _lines(equation: _Equation, worked: bool) -> tuple[list[str], Fraction]:
    """The lines of the solution of ax+b=right, and x."""
    a, b, right = equation.a, equation.b, equation.right
    operation = "-" if b > 0 else "+"
    moved = brief(operation, right, abs(b), worked and right >= 0)
    lines = [*equation.first_lines, f"{_times_x(a)}={moved}"]
    x = Fraction(right - b, a)
    if a > 1:
        lines.append(_division(right - b, a))
    return lines if worked else lines[-1:], x


def _division(numerator: int, a: int) -> str:
    """`x=12/3=4`, or `x=12/5` where that is in lowest terms already."""
    line = f"x={numerator}/{a}"
    if gcd(numerator, a) == 1:
        return line
    return f"{line}={Fraction(numerator, a)}"


def _spelled(equation: str, plus: str, random: Random) -> str:
    """The equation as people type it: with spaces or without, some in dollars."""
    if random.random() < 0.5:
        equation = equation.replace("=", " = ").replace(plus, f" {plus[0]} {plus[1:]}", 1)
    if random.random() < 0.25:
        equation = f"${equation}$"
    return equation


def _write(form: str, parameters: Parameters, language: Language, worked: bool, random: Random) -> Problem:
    equation = FORMS[form](parameters)
    lines, x = _lines(equation, worked)
    spelled = _spelled(equation.text, _signed(equation.b), random)
    answer = sympy.Rational(x.numerator, x.denominator)
    return Problem(
        kind=f"linear_{form}",
        parameters=parameters,
        language=language,
        question=random.choice(SOLVE[language]).format(e=spelled),
        steps="\n".join(lines),
        answer=answer,
        program=f"from sympy import *\nx=symbols('x')\nprint(solve(Eq({equation.python}),x)[0])",
        names={"x": answer},
    )


def _times_x(a: int) -> str:
    return "x" if a == 1 else f"{a}x"


def _signed(value: int) -> str:
    """`+3`, `-3`, and nothing for 0."""
    return f"{value:+}" if value else ""


KINDS = tuple(
    Kind(f"linear_{form}", weight, partial(_draw, form), partial(_write, form)) for form, weight in WEIGHTS.items()
)
