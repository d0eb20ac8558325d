"""The kinds of problem about two integers of up to four digits."""

from functools import partial
from random import Random

import sympy

from deepseek_math.language import Language
from deepseek_math.training import wording
from deepseek_math.training.arithmetic import operate, result
from deepseek_math.training.problem import Kind, Parameters, Problem

Lengths = tuple[tuple[int, int, float], ...]  # digits of one number, digits of the other, weight

LARGEST_DIVIDEND = 9999
LARGER_FIRST = 0.7  # share of the differences that would be negative and are turned round
SWAPPED = 0.5  # share of the sums and products whose numbers change places

SIMPLE_LENGTHS: Lengths = tuple((a, b, 1.0 if max(a, b) > 1 else 0.3) for a in range(1, 5) for b in range(1, 5))
FACTOR_LENGTHS: Lengths = (
    (1, 1, 0.3), (2, 1, 2.0), (3, 1, 2.0), (4, 1, 2.0), (2, 2, 3.0), (3, 2, 2.0),
    (4, 2, 1.0), (3, 3, 1.0), (4, 3, 0.4), (4, 4, 0.3),
)  # fmt: skip
QUOTIENT_LENGTHS: Lengths = (
    (1, 1, 0.3), (2, 1, 2.0), (3, 1, 2.0), (4, 1, 1.0), (1, 2, 1.0), (2, 2, 3.0), (1, 3, 0.5), (3, 2, 0.3),
)  # fmt: skip


def _number(random: Random, digits: int) -> int:
    least = 10 ** (digits - 1) if digits > 1 else 1
    return random.randrange(least, 10**digits)


def _digits(lengths: Lengths, random: Random) -> tuple[int, int]:
    one, other, _ = random.choices(lengths, [weight for *_, weight in lengths])[0]
    return one, other


def _pair(digits: tuple[int, int], random: Random) -> tuple[int, int]:
    return _number(random, digits[0]), _number(random, digits[1])


def _draw_sum_or_product(lengths: Lengths, random: Random) -> Parameters:
    a, b = _pair(_digits(lengths, random), random)
    if random.random() < SWAPPED:
        return b, a
    return a, b


def _draw_difference(lengths: Lengths, random: Random) -> Parameters:
    a, b = _pair(_digits(lengths, random), random)
    if a < b and random.random() < LARGER_FIRST:
        return b, a
    return a, b


def _draw_quotient(lengths: Lengths, random: Random) -> Parameters:
    """Dividend and divisor, made from a quotient and a divisor of the drawn lengths."""
    digits = _digits(lengths, random)
    while True:
        quotient, divisor = _pair(digits, random)
        if quotient * divisor <= LARGEST_DIVIDEND:
            return quotient * divisor, divisor


def _write(sign: str, parameters: Parameters, language: Language, worked: bool, random: Random) -> Problem:
    a, b = parameters
    operator = "//" if sign == "÷" else wording.PYTHON[sign]
    return Problem(
        kind=wording.NAMES[sign],
        parameters=parameters,
        language=language,
        question=wording.question(sign, str(a), str(b), language, random),
        steps=operate(sign, a, b, worked),
        answer=sympy.Integer(result(sign, a, b)),
        program=f"print({a}{operator}{b})",
    )


KINDS = (
    Kind("sum", 4, partial(_draw_sum_or_product, SIMPLE_LENGTHS), partial(_write, "+")),
    Kind("difference", 4, partial(_draw_difference, SIMPLE_LENGTHS), partial(_write, "-")),
    Kind("product", 7, partial(_draw_sum_or_product, FACTOR_LENGTHS), partial(_write, "×")),
    Kind("quotient", 6, partial(_draw_quotient, QUOTIENT_LENGTHS), partial(_write, "÷")),
)
