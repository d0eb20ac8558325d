"""Polynomials of one unknown with rational coefficients: as text, in Python, and worked out at a point."""

from collections.abc import Sequence
from fractions import Fraction

from deepseek_math.training.problem import Parameters
from deepseek_math.training.sides import added_up, signed

Term = tuple[Fraction, int]  # coefficient and power


def terms_of(coefficients: Parameters) -> list[Term]:
    """The terms that are not zero, from the coefficients in falling order of their powers."""
    degree = len(coefficients) - 1
    return [(Fraction(c), degree - number) for number, c in enumerate(coefficients) if c]


def term(coefficient: Fraction, power: int, letter: str = "x") -> str:
    """A term without its sign: `2x^3/3` for two thirds of the cube. `letter` may be a number, as in `2×5^3/3`."""
    c = abs(coefficient)
    if power == 0:
        return str(c)
    raised = letter if power == 1 else f"{letter}^{power}"
    sign = "" if letter == "x" else "×"
    multiplied = raised if c.numerator == 1 else f"{c.numerator}{sign}{raised}"
    return multiplied if c.denominator == 1 else f"{multiplied}/{c.denominator}"


def text(terms: Sequence[Term], letter: str = "x") -> str:
    """All terms with their signs: `2x^3/3-x+5`."""
    return signed([term(c, power, letter) for c, power in terms], [c.numerator for c, _ in terms])


def python(coefficients: Parameters) -> str:
    """The polynomial as a program writes it: `2*x**3-x+5`. Its coefficients are integers."""
    written = text(terms_of(coefficients)).replace("^", "**").replace("x", "*x")
    return written.replace("-*", "-").replace("+*", "+").removeprefix("*")


def integral(terms: Sequence[Term]) -> list[Term]:
    return [(c / (power + 1), power + 1) for c, power in terms]


def derivative(terms: Sequence[Term]) -> list[Term]:
    return [(c * power, power - 1) for c, power in terms if power > 0]


def value_at(terms: Sequence[Term], x: int) -> Fraction:
    return sum((c * x**power for c, power in terms), Fraction(0))


def worked_out_at(terms: Sequence[Term], x: int) -> list[str]:
    """The sides that work the polynomial out: powers, terms, common denominator, value."""
    value = value_at(terms, x)
    if x == 0:
        return [str(value)]
    letter = str(x) if x > 0 else f"({x})"
    values = [c * x**power for c, power in terms]
    parts = signed([str(abs(value)) for value in values], [value.numerator for value in values])
    return [text(terms, letter), parts, *added_up(values)]
