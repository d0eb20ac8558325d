"""The sides of a chain of equal expressions, `a=b=c`, as a worked solution writes them."""

from collections.abc import Sequence
from fractions import Fraction
from math import lcm


def joined(sides: Sequence[str]) -> str:
    """The sides with `=` between them. A side that repeats the one before it is left out."""
    kept = [sides[0]]
    for side in sides[1:]:
        if side != kept[-1]:
            kept.append(side)
    return "=".join(kept)


def signed(terms: Sequence[str], signs: Sequence[int]) -> str:
    """The terms with the signs of the numbers in `signs`: `3/4-1/6`."""
    text = ""
    for term, sign in zip(terms, signs, strict=True):
        text += f"-{term}" if sign < 0 else f"+{term}"
    return text.removeprefix("+")


def added_up(values: Sequence[Fraction]) -> list[str]:
    """The sides that add fractions: over a common denominator, as one fraction, in lowest terms."""
    total = sum(values, Fraction(0))
    common = lcm(*(value.denominator for value in values))
    if common == 1 or len(values) == 1:
        return [str(total)]
    numerators = [int(value * common) for value in values]
    sides = [signed([f"{abs(numerator)}/{common}" for numerator in numerators], numerators)]
    if sum(numerators):
        sides.append(f"{sum(numerators)}/{common}")
    if sides[-1] != str(total):
        sides.append(str(total))
    return sides
