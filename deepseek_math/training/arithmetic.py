"""Integer arithmetic as a person writes it down: one line for each operation, the digits worked in brackets.

    >>> operate("+", 478, 36)
    '478+36 [8+6=14,7+3+1=11,4+0+1=5]=514'

A step is small enough to be known by heart (at most `9*9+8`), so that a small model that takes every step can be exact.
Without `worked` the same line has no brackets: `478+36=514`.
"""

from collections.abc import Callable

Operation = Callable[[int, int], str]


def operate(sign: str, a: int, b: int, worked: bool = True) -> str:
    """The line or, for a product of two longer numbers, the lines that work out `a sign b`. `÷` must come out even."""
    if sign == "×" and worked and min(len(str(a)), len(str(b))) > 1:
        return _long_product(a, b)
    steps = _STEPS[sign](a, b) if worked else ""
    return f"{a}{sign}{b}{f' [{steps}]' if steps else ''}={result(sign, a, b)}"


def result(sign: str, a: int, b: int) -> int:
    if sign == "÷":
        if a % b:
            raise ValueError(f"{a}÷{b} is not a whole number")
        return a // b
    return {"+": a + b, "-": a - b, "×": a * b}[sign]


def brief(sign: str, a: int, b: int, worked: bool = True) -> str:
    """As `operate`, but what people do in their heads has no brackets: two digits, or one digit times two."""
    small = max(a, b) < 100 and (sign in "+-" or min(a, b) < 10)
    return operate(sign, a, b, worked and not small)


def _digits(number: int, length: int) -> list[int]:
    """Least significant first, with zeros up to `length`."""
    return [number // 10**place % 10 for place in range(max(length, len(str(number))))]


def _sum(a: int, b: int) -> str:
    if min(a, b) < 0 or max(a, b) < 10:
        return ""
    length, carry, steps = len(str(max(a, b))), 0, []
    for place, (one, other) in enumerate(zip(_digits(a, length), _digits(b, length), strict=True)):
        total = one + other + carry
        steps.append(f"{one}+{other}{f'+{carry}' if place else ''}={total}")
        carry = total // 10
    return ",".join(steps)


def _difference(a: int, b: int) -> str:
    """A smaller number less a larger one is worked the other way round; the sign is the last thing."""
    if min(a, b) < 0 or max(a, b) < 10:
        return ""
    if a < b:
        return f"{b}-{a}={b - a}" if max(a, b) < 100 else f"{_difference(b, a)},{b}-{a}={b - a}"
    borrow, steps = 0, list[str]()
    for place, (one, other) in enumerate(zip(_digits(a, 0), _digits(b, len(str(a))), strict=True)):
        short = one - other - borrow < 0
        value = one - other - borrow + 10 * short
        steps.append(f"{'1' if short else ''}{one}-{other}{f'-{borrow}' if place else ''}={value}")
        borrow = int(short)
    return ",".join(steps)


def _product(a: int, b: int) -> str:
    """One of the two has one digit."""
    if min(a, b) < 0 or max(a, b) < 10:
        return ""
    digit, number = sorted((a, b))
    carry, steps = 0, list[str]()
    for place, one in enumerate(_digits(number, 0)):
        total = one * digit + carry
        steps.append(f"{one}×{digit}{f'+{carry}' if place else ''}={total}")
        carry = total // 10
    return ",".join(steps)


def _quotient(a: int, b: int) -> str:
    """Long division: for each digit of the quotient the divisor's multiple and what is left."""
    if a < b or b == 1 or (a < 100 and b < 10):
        return ""
    rest, steps = 0, list[str]()
    for digit in str(a):
        rest = rest * 10 + int(digit)
        if rest < b and not steps:
            continue
        times = rest // b
        steps.append(f"{b}×{times}={b * times},{rest}-{b * times}={rest - b * times}")
        rest -= b * times
    return ",".join(steps)


_STEPS: dict[str, Operation] = {"+": _sum, "-": _difference, "×": _product, "÷": _quotient}


def _long_product(a: int, b: int) -> str:
    """One partial product for each digit of the shorter number that is not zero, added up from the largest."""
    long, short = (a, b) if len(str(a)) >= len(str(b)) else (b, a)
    places = [(int(digit), len(str(short)) - 1 - place) for place, digit in enumerate(str(short)) if digit != "0"]
    parts = [digit * 10**place for digit, place in places]
    lines = []
    if len(parts) > 1 or (a, b) != (long, short):
        lines.append(f"{a}×{b}=" + "+".join(f"{long}×{part}" for part in parts))
    for (digit, place), part in zip(places, parts, strict=True):
        steps = f" [{_product(long, digit)}]" if digit > 1 else ""
        lines.append(f"{long}×{part}{steps}={long * digit * 10**place}")
    total = long * parts[0]
    for part in parts[1:]:
        lines.append(operate("+", total, long * part))
        total += long * part
    return "\n".join(lines)
