"""The kinds of problem about polynomials of degree three at most: definite integrals, derivatives and slopes."""

from fractions import Fraction
from random import Random

import sympy

from deepseek_math.language import Language
from deepseek_math.training import polynomial
from deepseek_math.training.problem import Kind, Parameters, Problem
from deepseek_math.training.sides import added_up, joined, signed
from deepseek_math.training.wording import Wordings

X = sympy.Symbol("x")
POINT = sympy.Integer(7)  # identities in x are checked at this point, besides sympy's own answer
LARGEST_VALUE = 200
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


def _coefficients(random: Random, degree: int, most: int) -> Parameters:
    """Four coefficients in falling order. That of `degree` is not zero, about half of the lower ones are."""
    zeros = [0] * (3 - degree)
    leading = random.randrange(1, most)
    lower = [random.choice((0, random.randrange(-most, most + 1))) for _ in range(degree)]
    if random.random() < 0.35:  # a power alone, such as x^2
        leading, lower = random.choice((1, leading)), [0] * degree
    values = [*zeros, leading, *lower]
    if random.random() < 0.1:
        values = [-value for value in values]
    return tuple(values)


def _spelled(coefficients: Parameters, random: Random) -> tuple[str, str]:
    """The polynomial as a question writes it, and as it stands after an integral sign: a sum often in brackets."""
    terms = polynomial.terms_of(coefficients)
    text = polynomial.text(terms)
    if random.random() < 0.5:
        text = text[0] + text[1:].replace("+", " + ").replace("-", " - ")
    integrand = text
    if len(terms) > 1 and random.random() < 0.7:
        integrand = f"({text})"
    if random.random() < 0.25:
        text = f"${text}$"
    return text, integrand


def _draw_integral(random: Random) -> Parameters:
    """Four coefficients and the two bounds."""
    while True:
        coefficients = _coefficients(random, random.choice((1, 1, 2, 2, 2, 3)), 6)
        a = random.choice((0, 0, 0, 1, 1, 2, -1, -2))
        b = random.randrange(a + 1, 6)
        raised = polynomial.integral(polynomial.terms_of(coefficients))
        values = polynomial.value_at(raised, a), polynomial.value_at(raised, b)
        if max(map(abs, values)) < LARGEST_VALUE:
            return (*coefficients, a, b)


def _integral_lines(coefficients: Parameters, a: int, b: int, worked: bool) -> tuple[list[str], Fraction]:
    """The lines of the solution and the value of the integral."""
    raised = polynomial.integral(polynomial.terms_of(coefficients))
    high, low = polynomial.value_at(raised, b), polynomial.value_at(raised, a)
    value = high - low
    first = f"F(x)={polynomial.text(raised)}"
    if not worked:
        return [first, f"F({b})-F({a})={value}"], value
    difference = f"{high}-({low})" if low < 0 else f"{high}-{low}"
    lines = [
        first,
        joined([f"F({b})", *polynomial.worked_out_at(raised, b)]),
        joined([f"F({a})", *polynomial.worked_out_at(raised, a)]),
        joined([f"F({b})-F({a})", difference, *added_up([high, -low])]),
    ]
    return lines, value


def _write_integral(parameters: Parameters, language: Language, worked: bool, random: Random) -> Problem:
    *values, a, b = parameters
    coefficients = tuple(values)
    lines, value = _integral_lines(coefficients, a, b, worked)
    f, integrand = _spelled(coefficients, random)
    question = random.choice(INTEGRATE[language]).format(f=f, i=integrand, a=a, b=b)
    if a >= 0 and random.random() < 0.5:
        question = question.replace(f"_{{{a}}}^{{{b}}}", f"_{a}^{b}")
    antiderivative = sympy.Poly(coefficients, X, domain="QQ").integrate()
    integrate = f"integrate({polynomial.python(coefficients)},(x,{a},{b}))"
    return Problem(
        kind="integral",
        parameters=parameters,
        language=language,
        question=question,
        steps="\n".join(lines),
        answer=sympy.Rational(value.numerator, value.denominator),
        program=f"from sympy import *\nx=symbols('x')\nprint({integrate})",
        names={"x": POINT, "F": antiderivative.eval},
    )


def _draw_derivative(random: Random) -> Parameters:
    """Four coefficients."""
    return _coefficients(random, random.choice((1, 2, 2, 3, 3)), 10)


def _draw_slope(random: Random) -> Parameters:
    """Four coefficients and a point."""
    while True:
        coefficients = _coefficients(random, random.choice((2, 2, 3)), 8)
        point = random.choice((-3, -2, -1, 0, 1, 2, 3, 4, 5))
        slope = polynomial.value_at(polynomial.derivative(polynomial.terms_of(coefficients)), point)
        if abs(slope) < LARGEST_VALUE:
            return (*coefficients, point)


def _by_rule(coefficient: Fraction, power: int) -> str:
    """The derivative of one term without its sign, before its numbers are multiplied: `5×3x^2`."""
    number = abs(coefficient)
    if power == 1 or number == 1:
        return polynomial.term(coefficient * power, power - 1)
    lowered = "x" if power == 2 else f"x^{power - 1}"
    return f"{number.numerator}×{power}{lowered}"


def _derivative_line(coefficients: Parameters, worked: bool) -> str:
    terms = polynomial.terms_of(coefficients)
    sides = ["f'(x)", polynomial.text(polynomial.derivative(terms))]
    if worked:
        changing = [(c, power) for c, power in terms if power > 0]
        by_rule = signed([_by_rule(c, power) for c, power in changing], [c.numerator for c, _ in changing])
        sides.insert(1, by_rule)
    return joined(sides)


def _write_derivative(parameters: Parameters, language: Language, worked: bool, random: Random) -> Problem:
    f, _ = _spelled(parameters, random)
    derived = sympy.Poly(parameters, X).diff()
    return Problem(
        kind="derivative",
        parameters=parameters,
        language=language,
        question=random.choice(DERIVE[language]).format(f=f),
        steps=_derivative_line(parameters, worked),
        answer=derived.as_expr(),
        program=f"from sympy import *\nx=symbols('x')\nprint(diff({polynomial.python(parameters)},x))",
        names={"x": POINT, "df": derived.eval},
    )


def _write_slope(parameters: Parameters, language: Language, worked: bool, random: Random) -> Problem:
    *values, point = parameters
    coefficients = tuple(values)
    derived = polynomial.derivative(polynomial.terms_of(coefficients))
    slope = polynomial.value_at(derived, point)
    sides = polynomial.worked_out_at(derived, point) if worked else [str(slope)]
    f, _ = _spelled(coefficients, random)
    return Problem(
        kind="slope",
        parameters=parameters,
        language=language,
        question=random.choice(SLOPE[language]).format(f=f, t=point),
        steps="\n".join([_derivative_line(coefficients, worked), joined([f"f'({point})", *sides])]),
        answer=sympy.Integer(int(slope)),
        program=(
            f"from sympy import *\nx=symbols('x')\nprint(diff({polynomial.python(coefficients)},x).subs(x,{point}))"
        ),
        names={"x": POINT, "df": sympy.Poly(coefficients, X).diff().eval},
    )


KINDS = (
    Kind("integral", 8, _draw_integral, _write_integral),
    Kind("derivative", 3, _draw_derivative, _write_derivative),
    Kind("slope", 3, _draw_slope, _write_slope),
)
