"""The kinds of problem about one unknown: linear equations, derivatives and definite integrals of polynomials."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import gcd
from random import Random

import sympy

from deepseek_math.prompts import Language
from deepseek_math.training.arithmetic import brief
from deepseek_math.training.number_kinds import Wordings, add_up, signed
from deepseek_math.training.problem import Kind, Problem

X = sympy.Symbol("x")
POINT = sympy.Integer(7)  # where identities in x are checked, beside sympy's own answer
SOLVE: Wordings = {
    "en": ("Solve {e}.", "Solve {e} for x.", "Solve for x: {e}", "If {e}, what is x?", "Find x if {e}.", "{e}, x = ?"),
    "zh": ("解方程{e}。", "解方程：{e}", "若{e}，求x。", "已知{e}，x等于多少？"),
}
DERIVE: Wordings = {
    "en": (
        "What is the derivative of {f}?",
        "Find the derivative of {f}.",
        "Differentiate {f}.",
        "Compute the derivative of f(x)={f}.",
    ),
    "zh": ("求{f}的导数。", "{f}的导数是什么？", "求函数f(x)={f}的导数。"),
}
SLOPE: Wordings = {
    "en": (
        "What is the derivative of {f} at x={t}?",
        "Find f'({t}) for f(x)={f}.",
        "What is the slope of y={f} at x={t}?",
    ),
    "zh": ("求{f}在x={t}处的导数。", "已知f(x)={f}，求f'({t})。"),
}
INTEGRATE: Wordings = {
    "en": (
        "What is the integral of {f} from {a} to {b}?",
        "What is the integral of {f} from {a} to {b}?",
        "Compute the integral of {f} from {a} to {b}.",
        "Find the integral of {f} from x={a} to x={b}.",
        "Integrate {f} from {a} to {b}.",
        "Calculate the definite integral of {f} from {a} to {b}.",
        "Evaluate $\\int_{{{a}}}^{{{b}}} {i}\\,dx$.",
        "$\\int_{{{a}}}^{{{b}}} {i}\\,dx$",
        "Compute \\int_{{{a}}}^{{{b}}} {i} dx",
    ),
    "zh": (
        "求{f}从{a}到{b}的定积分。",
        "{f}从{a}到{b}的积分是多少？",
        "计算定积分$\\int_{{{a}}}^{{{b}}} {i}\\,dx$。",
        "计算$\\int_{{{a}}}^{{{b}}} {i}\\,dx$。",
        "求函数f(x)={f}在[{a},{b}]上的定积分。",
    ),
}
Writer = Callable[[tuple[int, ...], Language, bool, Random], Problem]


def term(coefficient: Fraction, power: int, letter: str = "x") -> str:
    """`2x^3/3` for two thirds of the cube, without its sign."""
    c = abs(coefficient)
    body = letter if power == 1 else f"{letter}^{power}"
    if power == 0:
        return str(c)
    times = "" if letter == "x" else "×"
    head = body if c.numerator == 1 else f"{c.numerator}{times}{body}"
    return head if c.denominator == 1 else f"{head}/{c.denominator}"


def polynomial(terms: list[tuple[Fraction, int]], letter: str = "x") -> str:
    return signed([term(c, power, letter) for c, power in terms], [c.numerator for c, _ in terms])


def _terms(parameters: tuple[int, ...]) -> list[tuple[Fraction, int]]:
    """(coefficient, power) from the coefficients in falling order, zeros left out."""
    degree = len(parameters) - 1
    return [(Fraction(c), degree - place) for place, c in enumerate(parameters) if c]


def _spelled(parameters: tuple[int, ...], random: Random) -> tuple[str, str]:
    """The polynomial as a question writes it, and as an integral sign wants it: with brackets round a sum."""
    text = polynomial(_terms(parameters))
    if random.random() < 0.5:
        text = text[0] + text[1:].replace("+", " + ").replace("-", " - ")
    inner = f"({text})" if len(_terms(parameters)) > 1 and random.random() < 0.7 else text
    return (f"${text}$" if random.random() < 0.25 else text), inner


def _python(parameters: tuple[int, ...]) -> str:
    return (
        polynomial(_terms(parameters))
        .replace("^", "**")
        .replace("x", "*x")
        .replace("-*", "-")
        .replace("+*", "+")
        .removeprefix("*")
    )


def _coefficients(random: Random, degree: int, most: int) -> tuple[int, ...]:
    """Four coefficients, falling; the degree's own is not zero, few of the others are."""
    values = [0] * (3 - degree) + [random.randrange(1, most)]
    values += [random.choice((0, random.randrange(-most, most + 1))) for _ in range(degree)]
    if random.random() < 0.35:  # a bare power
        values = [0] * (3 - degree) + [random.choice((1, values[3 - degree]))] + [0] * degree
    if random.random() < 0.1:
        values = [-value for value in values]
    return tuple(values)


def _integral_draw(random: Random) -> tuple[int, ...]:
    while True:
        values = _coefficients(random, random.choice((1, 1, 2, 2, 2, 3)), 6)
        a = random.choice((0, 0, 0, 1, 1, 2, -1, -2))
        b = random.randrange(a + 1, 6)
        raised = [(c / (power + 1), power + 1) for c, power in _terms(values)]
        if all(abs(sum(c * at**power for c, power in raised)) < 200 for at in (a, b)):
            return (*values, a, b)


def _chain(sides: list[str]) -> str:
    return "=".join(side for place, side in enumerate(sides) if place == 0 or side != sides[place - 1])


def _at(terms: list[tuple[Fraction, int]], t: int) -> tuple[list[str], Fraction]:
    """The sides that work out a polynomial at `t`: powers, terms, common denominator, value."""
    if t == 0:
        return ["0" if all(power for _, power in terms) else str(terms[-1][0])], sum(
            (c for c, power in terms if power == 0), Fraction(0)
        )
    letter = str(t) if t > 0 else f"({t})"
    values = [c * t**power for c, power in terms]
    parts = signed([str(abs(value)) for value in values], [value.numerator for value in values])
    return [polynomial(terms, letter), parts, *add_up(values)], sum(values, Fraction(0))


def _integral(parameters: tuple[int, ...], language: Language, worked: bool, random: Random) -> Problem:
    *values, a, b = parameters
    coefficients = tuple(values)
    raised = [(c / (power + 1), power + 1) for c, power in _terms(coefficients)]
    upper, high = _at(raised, b)
    lower, low = _at(raised, a)
    lines = [f"F(x)={polynomial(raised)}"]
    if worked:
        lines += [_chain([f"F({b})", *upper]), _chain([f"F({a})", *lower])]
    difference = [f"{high}-({low})" if low < 0 else f"{high}-{low}", *add_up([high, -low])]
    value = high - low
    lines.append(_chain([f"F({b})-F({a})", *(difference if worked else [str(value)])]))
    f, i = _spelled(coefficients, random)
    question = random.choice(INTEGRATE[language]).format(f=f, i=i, a=a, b=b)
    if a >= 0 and random.random() < 0.5:
        question = question.replace(f"_{{{a}}}^{{{b}}}", f"_{a}^{b}")
    program = f"from sympy import *\nx=symbols('x')\nprint(integrate({_python(coefficients)},(x,{a},{b})))"
    whole = sympy.Poly(coefficients, X, domain="QQ").integrate()
    names = {"x": POINT, "F": whole.eval}
    answer = sympy.Rational(value.numerator, value.denominator)
    return Problem("integral", parameters, language, question, "\n".join(lines), answer, program, names)


def _derivative_draw(random: Random) -> tuple[int, ...]:
    return _coefficients(random, random.choice((1, 2, 2, 3, 3)), 10)


def _slope_draw(random: Random) -> tuple[int, ...]:
    while True:
        values = _coefficients(random, random.choice((2, 2, 3)), 8)
        t = random.choice((-3, -2, -1, 0, 1, 2, 3, 4, 5))
        if len(_terms(values)) and abs(sum(c * p * t ** max(0, p - 1) for c, p in _terms(values))) < 200:
            return (*values, t)


def _derivative(parameters: tuple[int, ...], language: Language, worked: bool, random: Random) -> Problem:
    at = parameters[4] if len(parameters) > 4 else None
    coefficients = parameters[:4]
    terms = _terms(coefficients)
    lowered = [(c * power, power - 1) for c, power in terms if power]
    rule = [f"{abs(c.numerator)}×{power}{'x' if power == 2 else f'x^{power - 1}'}" if power > 1 and abs(c) > 1
            else term(c * power, power - 1) for c, power in terms if power]  # fmt: skip
    derived = polynomial(lowered)
    by_rule = signed(rule, [c.numerator for c, power in terms if power])
    lines = [_chain(["f'(x)", by_rule, derived] if worked else ["f'(x)", derived])]
    f, _ = _spelled(coefficients, random)
    slope = sympy.Poly(coefficients, X).diff()
    source = f"from sympy import *\nx=symbols('x')\nprint(diff({_python(coefficients)},x)"
    names = {"x": POINT, "df": slope.eval}
    if at is None:
        question = random.choice(DERIVE[language]).format(f=f)
        return Problem("derivative", parameters, language, question, lines[0], slope.as_expr(), source + ")", names)
    sides, value = _at(lowered, at)
    lines.append(_chain([f"f'({at})", *(sides if worked else [str(value)])]))
    question = random.choice(SLOPE[language]).format(f=f, t=at)
    program = f"{source}.subs(x,{at}))"
    return Problem("slope", parameters, language, question, "\n".join(lines), sympy.Integer(int(value)), program, names)


def _linear_draw(form: str) -> Callable[[Random], tuple[int, ...]]:
    def draw(random: Random) -> tuple[int, ...]:
        while True:
            a, b, x = random.randrange(2, 13), random.randrange(-50, 51), random.randrange(-12, 31)
            c = random.randrange(1, 12)
            if not b or not x or (form == "two_sides" and a <= c):
                continue
            if form == "one_side":
                return (a, b, a * x + b) if random.random() < 0.8 else (a, b, a * x + b + random.randrange(1, a))
            if form == "two_sides":
                return a, b, c, a * x + b - c * x
            return a, b // 4 or 1, a * (x + (b // 4 or 1))

    return draw


def _linear(form: str) -> Writer:
    def write(parameters: tuple[int, ...], language: Language, worked: bool, random: Random) -> Problem:
        a, b, *rest = parameters
        plus = f"{'+' if b > 0 else '-'}{abs(b)}"
        right = rest[-1]
        if form == "brackets":
            equation, python = f"{a}(x{plus})={right}", f"{a}*(x{plus}),{right}"
            lines, a, right = [f"x{plus}={right}÷{a}={right // a}"], 1, right // a
        elif form == "two_sides":
            equation, python = f"{a}x{plus}={term_x(rest[0])}{_plus(right)}", f"{a}*x{plus},{rest[0]}*x{_plus(right)}"
            lines, a = [f"{a}x-{term_x(rest[0])}={right}{_plus(-b)}"], a - rest[0]
        else:
            equation, python = f"{a}x{plus}={right}", f"{a}*x{plus},{right}"
            lines = []
        moved = right - b
        total = brief("-" if b > 0 else "+", right, abs(b), worked and right >= 0)
        lines.append(f"{term_x(a)}={total}")
        value = Fraction(moved, a)
        if a > 1:
            exact = f"={moved // a}" if value.denominator == 1 else f"={value}" if gcd(moved, a) > 1 else ""
            lines.append(f"x={moved}/{a}{exact}")
        if random.random() < 0.5:
            equation = equation.replace("=", " = ").replace(plus, f" {plus[0]} {plus[1:]}", 1)
        equation = f"${equation}$" if random.random() < 0.25 else equation
        question = random.choice(SOLVE[language]).format(e=equation)
        program = f"from sympy import *\nx=symbols('x')\nprint(solve(Eq({python}),x)[0])"
        answer = sympy.Rational(value.numerator, value.denominator)
        lines = lines if worked else lines[-1:]
        return Problem(
            f"linear_{form}", parameters, language, question, "\n".join(lines), answer, program, {"x": answer}
        )

    return write


def term_x(a: int) -> str:
    return "x" if a == 1 else f"{a}x"


def _plus(value: int) -> str:
    return "" if not value else f"{'+' if value > 0 else '-'}{abs(value)}"


FORMS: Mapping[str, float] = {"one_side": 3, "two_sides": 3, "brackets": 2}
KINDS = (
    Kind("integral", 8, _integral_draw, _integral),
    Kind("derivative", 3, _derivative_draw, _derivative),
    Kind("slope", 3, _slope_draw, _derivative),
    *(Kind(f"linear_{form}", weight, _linear_draw(form), _linear(form)) for form, weight in FORMS.items()),
)
