"""Integer arithmetic as a person writes it down: one line for each operation, with the digits worked in brackets.

    >>> operate("+", 478, 36)
    '478+36 [8+6=14,7+3+1=11,4+0+1=5]=514'

Each step in brackets is small (at most `9*9+8`), so a small model can know all of them by heart.
Without `worked` the same line has no brackets: `478+36=514`.
"""

from collections.abc import Callable


def operate(sign: str, a: int, b: int, worked: bool = True) -> str:
    """The line that works out `a sign b`; several lines for a product of two longer numbers.

    Raises ValueError for a division with a remainder.
    """
    if sign == "×" and worked and min(len(str(a)), len(str(b))) > 1:
        return _long_product(a, b)
    steps = _STEPS[sign](a, b) if worked else ""
    brackets = f" [{steps}]" if steps else ""
    return f"{a}{sign}{b}{brackets}={result(sign, a, b)}"


def result(sign: str, a: int, b: int) -> int:
    match sign:
        case "+":
            return a + b
        case "-":
            return a - b
        case "×":
            return a * b
    if a % b:
        raise ValueError(f"{a}÷{b} is not a whole number")
    return a // b


def brief(sign: str, a: int, b: int, worked: bool = True) -> str:
    """As `operate`, but without brackets for what people do in their heads: two digits, or one digit times two."""
    small = max(a, b) < 100 and (sign in "+-" or min(a, b) < 10)
    return operate(sign, a, b, worked and not small)


def _digits(number: int, length: int = 0) -> list[int]:
    """The digits, least significant first, with zeros up to `length`."""
    return [int(digit) for digit in reversed(str(number).zfill(length))]


def _too_simple(a: int, b: int) -> bool:
    """Whether there are no digits to work with: both numbers have one, or one of them is negative."""
    return min(a, b) < 0 or max(a, b) < 10


def _sum(a: int, b: int) -> str:
    if _too_simple(a, b):
        return ""
    length = len(str(max(a, b)))
    steps: list[str] = []
    carry = 0
    for one, other in zip(_digits(a, length), _digits(b, length), strict=True):
        total = one + other + carry
        carried = f"+{carry}" if steps else ""
        steps.append(f"{one}+{other}{carried}={total}")
        carry = total // 10
    return ",".join(steps)


def _difference(a: int, b: int) -> str:
    """A smaller number minus a larger one is worked the other way round; the sign comes last."""
    if _too_simple(a, b):
        return ""
    if a < b:
        turned_round = f"{b}-{a}={b - a}"
        return turned_round if b < 100 else f"{_difference(b, a)},{turned_round}"
    steps: list[str] = []
    borrowed = 0
    for one, other in zip(_digits(a), _digits(b, len(str(a))), strict=True):
        rest = one - other - borrowed
        taken = f"-{borrowed}" if steps else ""
        if rest < 0:
            steps.append(f"1{one}-{other}{taken}={rest + 10}")
            borrowed = 1
        else:
            steps.append(f"{one}-{other}{taken}={rest}")
            borrowed = 0
    return ",".join(steps)


def _product(a: int, b: int) -> str:
    """One of the two numbers has one digit."""
    if _too_simple(a, b):
        return ""
    factor, number = sorted((a, b))
    steps: list[str] = []
    carry = 0
    for digit in _digits(number):
        total = digit * factor + carry
        carried = f"+{carry}" if steps else ""
        steps.append(f"{digit}×{factor}{carried}={total}")
        carry = total // 10
    return ",".join(steps)


def _quotient(a: int, b: int) -> str:
    """Long division: for each digit of the quotient the divisor's multiple and what is left."""
    if a < b or b == 1 or (a < 100 and b < 10):
        return ""
    steps: list[str] = []
    rest = 0
    for digit in str(a):
        rest = rest * 10 + int(digit)
        if rest < b and not steps:
            continue
        times = rest // b
        steps.append(f"{b}×{times}={b * times},{rest}-{b * times}={rest - b * times}")
        rest -= b * times
    return ",".join(steps)


_STEPS: dict[str, Callable[[int, int], str]] = {"+": _sum, "-": _difference, "×": _product, "÷": _quotient}


def _long_product(a: int, b: int) -> str:
    """One product for each digit of the shorter number that is not zero, added up from the largest."""
    long, short = (a, b) if len(str(a)) >= len(str(b)) else (b, a)
    digits = [(digit, 10**power) for power, digit in enumerate(_digits(short)) if digit > 0]
    digits.reverse()
    parts = [digit * power for digit, power in digits]
    lines: list[str] = []
    if len(parts) > 1 or (a, b) != (long, short):
        split = "+".join(f"{long}×{part}" for part in parts)
        lines.append(f"{a}×{b}={split}")
    for digit, power in digits:
        brackets = f" [{_product(long, digit)}]" if digit > 1 else ""
        lines.append(f"{long}×{digit * power}{brackets}={long * digit * power}")
    total = long * parts[0]
    for part in parts[1:]:
        lines.append(operate("+", total, long * part))
        total += long * part
    return "\n".join(lines)
