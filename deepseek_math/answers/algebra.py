r"""Whether two expressions are equal: whether they have the same value, to 45 digits, wherever both have a real one.

    >>> equal(parse(tokenize(r"\sin 2x")), parse(tokenize(r"2\sin x\cos x")))
    True

An identity that holds at a handful of unrelated points holds everywhere (Schwartz 1980, Zippel 1979, for polynomials;
WeBWorK grades formulas of any kind that way). It also decides what sympy's simplification did not:
`\cos\frac{\pi}{7}\cos\frac{2\pi}{7}\cos\frac{3\pi}{7}` is `\frac18`. Rational values are exact whatever
their size, so `2^{1000}` is told from its neighbour.
"""

import math
import operator
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any
from zlib import crc32

from mpmath import mp

from deepseek_math.answers.expressions import Node, symbols

DIGITS = 60
SURE = 45  # digits that two values share if they are the same
TINY = 25  # digits after the point from which a value may be a zero that was computed: then MORE digits decide
MORE = 200
LONGEST = 3_000  # digits before the point of a value that is compared to the last one
GIANT = 10**7  # bits of a value before the point that is not computed any more
EXACT_BITS = 30_000  # of a power that is computed exactly
MAX_TERMS = 10_000  # of a sum that is added up term by term
MAX_FACTORIAL = 5_000  # computed exactly

Point = dict[str, Fraction]
Value = Any  # a Fraction where it is rational, else a real, complex or matrix value of mpmath


class Undefined(ArithmeticError):
    """The expression has no value here."""


def equal(a: Node, b: Node) -> bool:
    """Whether two expressions are the same wherever all of both is real; if that is nowhere, in complex numbers."""
    if a == b:
        return True
    with_i = _has(a, "i") or _has(b, "i")
    verdict = None if with_i else _equal(a, b, real=True)
    return bool(_equal(a, b, real=False) if verdict is None else verdict)


def _equal(a: Node, b: Node, real: bool) -> bool | None:
    """None if there is no point at which both have a value."""
    compared = False
    for point in points(symbols(a) | symbols(b)):
        same = _same_at(a, b, point, real)
        if same is False:
            return False
        compared = compared or same is True
    return True if compared else None


def proportion(a: Node, b: Node) -> Value | None:
    """The number that `a` is times `b`, if it is the same one everywhere, real, and not 0."""
    found: list[Value] = []
    with mp.workdps(DIGITS):
        for point in points(symbols(a) | symbols(b)):
            top, bottom = value(a, point), value(b, point)
            if top is None or bottom is None:
                continue
            if not top and not bottom:
                continue
            if not top or not bottom:
                return None
            found.append(_number(top) / _number(bottom))
        if not found or not all(_close(found[0], each) for each in found):
            return None
    return found[0]


def fingerprint(node: Node) -> str:
    """Equal expressions have the same one, and almost no others do; empty where an expression has no real value."""
    for point in points(symbols(node)):
        with mp.workdps(DIGITS):
            found = value(node, point)
            if found is not None and not isinstance(found, mp.matrix):
                return str(mp.nstr(_number(found), 12))
    return ""


def _has(node: Node, op: str) -> bool:
    return node.op == op or any(_has(part, op) for part in node.parts)


def points(names: set[str]) -> Iterator[Point]:
    """Where expressions are compared. A name has the same value at a point in any expression, unrelated to others'."""
    if not names:
        yield {}
        return
    for number, (signs, bottom) in enumerate(_POINTS):
        yield {name: _coordinate(crc32(f"{number}{name}".encode()), signs, bottom) for name in names}


_POINTS = [((1,), 128), ((1,), 32), ((-1,), 64), ((1, -1), 64), ((1,), 1), ((1,), 1), ((1,), 1), ((1, -1), 4)]


def _coordinate(seed: int, signs: tuple[int, ...], bottom: int) -> Fraction:
    """An odd number over an even one, or a whole one, where alone `(-1)^x` is real: `(-1)^{1/3}` would be, too."""
    sign = signs[seed % len(signs)]
    return Fraction(seed // 7 % 12 + 2) if bottom == 1 else Fraction(sign * (seed // 7 % 512 * 2 + 1), bottom)


def value(node: Node, point: Point, real: bool = True) -> Value | None:
    """The value at a point, or None where there is none; with `real`, where some part of it is not real."""
    try:
        return _Evaluation(point, real).of(node)
    except (ArithmeticError, KeyError, ValueError, TypeError, mp.NoConvergence):
        return None


def _same_at(a: Node, b: Node, point: Point, real: bool) -> bool | None:
    """Whether both values are the same; None where one is missing. Tiny ones need more digits: one may be 0."""
    for digits in (DIGITS, MORE):
        with mp.workdps(digits):
            left, right = value(a, point, real), value(b, point, real)
            if left is None or right is None:
                return None
            if isinstance(left, mp.matrix) or isinstance(right, mp.matrix):
                return _same_matrix(left, right)
            if isinstance(left, Fraction) and isinstance(right, Fraction):
                return left == right
            size = max(abs(_number(left)), abs(_number(right)))
            if size > mp.mpf(10) ** -TINY:
                return _close(left, right) and (size < mp.mpf(10) ** DIGITS or _same_giant(a, b, point, size))
    with mp.workdps(MORE):
        return bool(size < mp.mpf(10) ** -(MORE - 2 * TINY)) or _close(left, right)


def _same_giant(a: Node, b: Node, point: Point, size: Value) -> bool:
    """Whether two values of more than DIGITS digits are the same to the last one; False where that is too long."""
    if mp.isinf(size):
        return True
    if size > mp.mpf(10) ** LONGEST:
        return bool(point)
    with mp.workdps(DIGITS + int(mp.log10(size))):
        left, right = value(a, point, real=False), value(b, point, real=False)
        return bool(abs(_number(left) - _number(right)) < 1)


def _same_matrix(left: Value, right: Value) -> bool:
    if not (isinstance(left, mp.matrix) and isinstance(right, mp.matrix)):
        return False
    shape = (left.rows, left.cols) == (right.rows, right.cols)
    return shape and all(_close(x, y) or abs(x - y) < mp.mpf(10) ** -SURE for x, y in zip(left, right, strict=True))


def _close(left: Value, right: Value) -> bool:
    left, right = _number(left), _number(right)
    if mp.isinf(left) or mp.isinf(right):
        return bool(left == right)
    return bool(abs(left - right) <= max(abs(left), abs(right)) * mp.mpf(10) ** -SURE)


def _is_real(found: Value) -> bool:
    if isinstance(found, Fraction):
        return True
    return bool(abs(mp.im(found)) <= abs(mp.re(found)) * mp.mpf(10) ** -SURE)


def _number(found: Value) -> Value:
    """A fraction as a number of mpmath."""
    return mp.mpf(found.numerator) / found.denominator if isinstance(found, Fraction) else found


_CONSTANTS: dict[str, Callable[[], Value]] = {
    "pi": lambda: +mp.pi,
    "e": lambda: +mp.e,
    "i": lambda: mp.mpc(0, 1),
    "infinity": lambda: mp.inf,
}
_ARITHMETIC: dict[str, Callable[[Value, Value], Value]] = {
    "+": operator.add,
    "*": operator.mul,
    "/": operator.truediv,
}
_PLAIN = ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "exp", "ln", "floor", "arg")
_FUNCTIONS: dict[str, Callable[..., Value]] = {
    **{name: getattr(mp, name) for name in _PLAIN},
    **{f"arc{name}": getattr(mp, f"a{name}") for name in ("sin", "cos", "tan", "cot")},
    **{"log": lambda x, base: mp.log(x) / mp.log(base), "lg": mp.log10, "ceiling": mp.ceil, "abs": abs},
    **{"Re": mp.re, "Im": mp.im, "max": max, "min": min},
}
_EXACT: dict[str, Callable[[Fraction], Fraction | int]] = {"abs": abs, "floor": math.floor, "ceiling": math.ceil}
_WHOLE: dict[str, Callable[..., int]] = {"gcd": math.gcd, "lcm": math.lcm}


class _Evaluation:
    def __init__(self, point: Point, real: bool) -> None:
        self._point = point
        self._real = real

    def of(self, node: Node) -> Value:
        """The value of a tree. Raises ArithmeticError, TypeError or ValueError where it has none."""
        op = node.op
        if op == "number":
            return node.value
        if op == "symbol":
            return self._point[node.name]
        if op == "matrix":
            return mp.matrix([[_number(self.of(cell)) for cell in row.parts] for row in node.parts])
        if op in _CONSTANTS:
            found = _CONSTANTS[op]()
        elif op in {r"\sum", r"\prod"}:
            found = self._range(node)
        else:
            found = self._operation(node, [self.of(part) for part in node.parts])
        exact = isinstance(found, Fraction | mp.matrix)
        if not exact and (mp.isnan(found) or _is_giant(found) or (self._real and not _is_real(found))):
            raise Undefined(op)
        return found

    def _operation(self, node: Node, values: list[Value]) -> Value:  # noqa: PLR0911
        op, first = node.op, values[0]
        if op in _ARITHMETIC:
            rational = all(isinstance(each, Fraction) for each in values)
            return _ARITHMETIC[op](*(values if rational else map(_number, values)))
        if op == "-":
            return -first
        if op in {"^", "root"}:
            return self._power(first, values[1] if op == "^" else 1 / values[1])
        if isinstance(first, mp.matrix):
            return first.T if op == "transpose" else mp.det(first)
        if op in {"apply", "transpose"}:
            return _unknown(node.name or op, values)
        if op in {"factorial", "binomial"}:
            return _counted(op, values)
        if op in _WHOLE:
            return Fraction(_WHOLE[op](*map(_whole, values)))
        if op in _EXACT and isinstance(first, Fraction):
            return Fraction(_EXACT[op](first))
        return _FUNCTIONS[op](*map(_number, values))

    def _power(self, base: Value, exponent: Value) -> Value:
        whole = isinstance(exponent, Fraction) and exponent.denominator == 1
        if isinstance(base, mp.matrix):
            return base ** _whole(exponent)
        if whole and isinstance(base, Fraction):
            if base == 0 and exponent < 0:
                raise Undefined("a division by 0")
            bits = max(base.numerator.bit_length(), base.denominator.bit_length())
            if bits * abs(exponent) <= EXACT_BITS:
                return base ** int(exponent)
        odd_root = isinstance(exponent, Fraction) and exponent.denominator % 2 == 1
        if self._real and odd_root and not whole and _is_real(base) and _number(base).real < 0:
            size = mp.power(-_number(base), _number(exponent))
            return -size if exponent.numerator % 2 else size
        return mp.power(_number(base), _number(exponent))

    def _range(self, node: Node) -> Value:
        """A sum or a product. One without whole bounds stands for itself: it equals only what is spelled alike."""
        index, *bounds, term = node.parts
        first, last = (self.of(bound) for bound in bounds)

        def at(point: Fraction) -> Value:
            return _Evaluation({**self._point, index.name: point}, self._real).of(term)

        if not (isinstance(first, Fraction) and isinstance(last, Fraction) and last - first <= MAX_TERMS):
            raise Undefined("a range without an end")
        if first.denominator == last.denominator == 1:
            total: Value = Fraction(node.op == r"\prod")
            combine = operator.add if node.op == r"\sum" else operator.mul
            for index_value in range(int(first), int(last) + 1):
                total = combine(*(map(_number, (total, at(Fraction(index_value))))))
            return total
        return _unknown(node.op, [first, last, at(Fraction(355, 113))])


def _is_giant(found: Value) -> bool:
    """A tower of powers would take all memory."""
    return bool(mp.isfinite(found) and found and mp.mag(found) > GIANT)


def _unknown(name: str, values: list[Value]) -> Value:
    """A function that nobody defined, as one that no identity holds for."""
    angle = mp.mpf(crc32(name.encode())) / 2**31
    for number, each in enumerate(values):
        angle += _number(each) * mp.sqrt(number + 2)
    return mp.sin(angle) + angle / 3


def _counted(op: str, values: list[Value]) -> Value:
    whole = all(isinstance(each, Fraction) and each.denominator == 1 and each >= 0 for each in values)
    if whole and max(values) <= MAX_FACTORIAL:
        return Fraction((math.factorial if op == "factorial" else math.comb)(*map(int, values)))
    return (mp.factorial if op == "factorial" else mp.binomial)(*map(_number, values))


def _whole(found: Value) -> int:
    if not isinstance(found, Fraction) or found.denominator != 1:
        raise Undefined("a whole number is needed")
    return int(found)
