r"""The process that compares answers with math-verify: `python -P -m deepseek_math.answers.worker`, one JSON a line.

    {"a": "\\frac{1}{2}", "b": "0.5"}  ->  {"equal": true, "reason": ""}

It may hang, crash or eat its memory: judging.py kills it. By itself it ends when its input is closed, and the
kernel ends it (SIGALRM) soon after a comparison's time is up, so no worker outlives its parent, busy or idle.
Structure is compared here by our rules; math-verify's parser and its `verify` see single expressions only. Around them:
- decimals go in as fractions, as `verify` rounds to six places (0.333333 = 1/3);
- symbols keep their case, as math-verify lower-cases them (x + C = x + c);
- `i` becomes the imaginary unit, as math-verify leaves it a symbol ((1+i)^2 is not 2i);
- a "yes" must survive 30 digits at sample points, as `verify` calls all tiny differences 0 (10^{-20} = 10^{-21}x);
- relations are equal if one is a multiple of the other, as `verify` solves both (x^2=-1, x^2=-2: no solution, equal).
"""

import json
import logging
import os
import re
import resource
import signal
import sys

from latex2sympy2_extended import NormalizationConfig, latex2sympy  # type: ignore[import-untyped]
from latex2sympy2_extended.latex2sympy2 import ConversionConfig  # type: ignore[import-untyped]
from math_verify import verify  # type: ignore[import-untyped]
from sympy import Expr, I, Rational, simplify

from deepseek_math.answers.spelling import exact, fraction, normal
from deepseek_math.answers.structure import Node, read

MEMORY = 2 * 2**30  # bytes of address space
RETIRE = 512 * 2**10  # KiB of resident memory after which a worker asks to be replaced
ALARM = 4.0  # seconds after which the kernel ends a comparison whose parent has not
DIGITS = 30

_SPELLING = NormalizationConfig(basic_latex=True, units=False, malformed_operators=False, nits=False, boxed="none")
_READING = ConversionConfig(lowercase_symbols=False)
_IMAGINARY = re.compile(r"(?<![A-Za-z\\])i(?![A-Za-z])")
_VARIABLE = re.compile(r"[A-Za-z](?:_\w)?|\\(?:alpha|beta|gamma|theta|lambda|mu|phi|omega)")


class Comparison:
    """One comparison of two answers; `reasons` holds what could not be read on the way."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def same(self, a: Node, b: Node) -> bool:  # noqa: PLR0911
        """Whether two structures say the same: the rule of a pair of kinds is the same in either order."""
        if a == b:
            return True
        kinds = {a.kind, b.kind}
        if kinds == {"list", "union"}:  # x<1 or x>2
            a, b = (Node("union", "", tuple(map(_interval, node.parts))) for node in (a, b))
            kinds = {"union"}
        if "list" in kinds:
            return self._lists(a, b)
        if "named" in kinds:
            return self._named(a, b)
        if "choice" in kinds:
            return self._choices(a, b)
        if kinds & {"row", "union"} and "relation" in kinds:
            a, b = _interval(a), _interval(b)
        if a.kind != b.kind:
            return False
        if a.kind == "value":
            return (not a.unit or not b.unit or a.unit == b.unit) and self.equal(a.text, b.text)
        if a.kind == "relation":
            return self._relations(a, b)
        if a.kind == "union":
            return self._covers(a.parts, b.parts) and self._covers(b.parts, a.parts)
        return (
            a.kind in {"row", "matrix"}
            and a.text == b.text
            and len(a.parts) == len(b.parts)
            and (not a.unit or not b.unit or a.unit == b.unit)
            and all(self.same(x, y) for x, y in zip(a.parts, b.parts, strict=True))
        )

    def _lists(self, a: Node, b: Node) -> bool:
        """Solutions in any order, each found in the other list. Names count where a list has several (x=1, y=2)."""
        left, right = (node.parts if node.kind == "list" else (node,) for node in (a, b))
        names = [{node.text for node in parts if node.kind == "named"} for parts in (left, right)]
        if max(len(name) for name in names) > 1 and names[0] != names[1]:
            return False
        return self._covers(left, right) and self._covers(right, left)

    def _covers(self, all_of: tuple[Node, ...], some_of: tuple[Node, ...]) -> bool:
        return all(any(self.same(x, y) for y in some_of) for x in all_of)

    def _named(self, a: Node, b: Node) -> bool:
        """`x=5` is 5, but not `y=5`; `y=2x+1` is also `2x-y+1=0`."""
        if a.kind == b.kind and a.text == b.text:
            return self.same(a.parts[0], b.parts[0])
        if a.kind == b.kind or "relation" in {a.kind, b.kind}:
            return self._relations(_equation(a), _equation(b))
        named, other = (a, b) if a.kind == "named" else (b, a)
        return self.same(named.parts[0], other)

    def _choices(self, a: Node, b: Node) -> bool:
        """`A`, `(a)` and `A. 12` name one choice; beside it, `12` is what `A. 12` says; a lone letter is a variable."""
        if a.kind == b.kind:
            return a.text == b.text
        choice, other = (a, b) if a.kind == "choice" else (b, a)
        if choice.parts:
            return self.same(choice.parts[0], other)
        return other.kind == "value" and any(
            self.equal(letter, other.text) for letter in (choice.text, choice.text.lower())
        )

    def _relations(self, a: Node, b: Node) -> bool:
        """One side minus the other must be a multiple of the same in `b`; a negative one turns an inequality round."""
        sides = [_sides(a), _sides(b)]
        if None in sides:
            return False
        left, right = (self._parsed(f"({side[0]})-({side[1]})") for side in sides if side)
        if left is None or right is None:
            return False
        ratio = simplify(left / right)
        if not ratio.is_number or ratio.is_zero or not ratio.is_finite:
            return False
        if a.text in {"=", r"\ne"}:
            return a.text == b.text
        turned = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
        return b.text == (a.text if ratio.is_positive else turned.get(a.text)) and bool(ratio.is_real)

    def equal(self, a: str, b: str) -> bool:
        """Whether two LaTeX expressions are equal: as fractions where both are numbers, else by algebra."""
        if (left := fraction(a)) is not None and (right := fraction(b)) is not None:
            return left == right
        complex_numbers = bool(_IMAGINARY.search(a + " " + b))
        one, other = self._parsed(a, complex_numbers), self._parsed(b, complex_numbers)
        if one is None or other is None:
            return False
        if one == other:
            return True
        if _differ(one, other):
            return False
        return bool(verify(one, other, timeout_seconds=None)) or bool(simplify(one - other) == 0)

    def _parsed(self, latex: str, complex_numbers: bool = False) -> Expr | None:
        """One expression; None, with its reason noted, for what is none (a set, a relation) or cannot be read."""
        try:
            parsed = latex2sympy(
                exact(latex),
                is_real=None if complex_numbers else True,
                normalization_config=_SPELLING,
                conversion_config=_READING,
            )
        except RecursionError:
            raise
        except Exception as error:
            self.reasons.append(f"unreadable: {type(error).__name__}")
            return None
        if not isinstance(parsed, Expr):
            return None
        if complex_numbers:
            return parsed.subs({symbol: I for symbol in parsed.free_symbols if symbol.name == "i"})
        return parsed.replace(_is_odd_root, lambda root: -((-root.base) ** root.exp))


def _is_odd_root(expression: Expr) -> bool:
    r"""`\sqrt[3]{-8}` is -2 where nobody speaks of complex numbers; sympy takes the complex root."""
    if not (expression.is_Pow and expression.exp.is_Rational and expression.base.is_negative):
        return False
    return bool(expression.exp.p % 2 == expression.exp.q % 2 == 1 != expression.exp.q)


def _differ(a: Expr, b: Expr) -> bool:
    """Whether they surely differ at one of two points, to 30 digits. Positive ones: roots and logs exist there."""
    symbols = sorted(a.free_symbols | b.free_symbols, key=str)
    for start in (3, 11):
        point = {symbol: Rational(start + 2 * place, 7) for place, symbol in enumerate(symbols)}
        try:
            values = [expression.doit().subs(point).evalf(DIGITS) for expression in (a, b)]
            if all(value.is_number and value.is_finite for value in values):
                size = max(abs(values[0]), abs(values[1]))
                if abs(values[0] - values[1]) > size * Rational(1, 10 ** (DIGITS - 5)):
                    return True
        except (ArithmeticError, AttributeError, TypeError, ValueError):
            continue
    return False


def _interval(node: Node) -> Node:
    r"""`x>5` as `(5,\infty)`."""
    if node.kind != "relation" or not node.parts or node.text not in {"<", ">", r"\le", r"\ge"}:
        return node
    variable, end = node.parts
    if variable.kind != "value" or not _VARIABLE.fullmatch(variable.text):
        return node
    if node.text in {">", r"\ge"}:
        return Node("row", ("(" if node.text == ">" else "[") + ")", (end, Node("value", r"\infty")))
    return Node("row", "(" + (")" if node.text == "<" else "]"), (Node("value", r"-\infty"), end))


def _equation(node: Node) -> Node:
    return Node("relation", "=", (Node("value", node.text), node.parts[0])) if node.kind == "named" else node


def _sides(node: Node) -> tuple[str, str] | None:
    if node.kind != "relation" or any(part.kind != "value" for part in node.parts):
        return None
    return node.parts[0].text, node.parts[1].text


def compare(a: str, b: str) -> tuple[bool, str]:
    """Whether two answers are equal, and why they could not be compared if so. The order of the two never matters."""
    comparison = Comparison()
    first, second = sorted((normal(a), normal(b)))
    try:
        equal = comparison.same(read(first), read(second))
    except RecursionError:
        return False, "nested too deeply"
    except MemoryError:
        os._exit(1)  # what is left of the process is not to be trusted
    except Exception as error:
        return False, f"{type(error).__name__}: {str(error)[:200]}"
    return equal, "" if equal else "; ".join(comparison.reasons[:3])


def main() -> None:
    """Answers comparisons until the input ends. The first line says whether algebra works here at all."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()  # math-verify warns that nobody limits its time; our parent does
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a print in a library is no answer
    works = compare(r"\frac{\sqrt{8}}{2}", r"\sqrt 2")
    print(json.dumps({"ready": works[0], "reason": works[1]}), file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, ALARM)
        equal, reason = compare(question["a"], question["b"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        retire = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > RETIRE
        print(json.dumps({"equal": equal, "reason": reason, "retire": retire}), file=answers, flush=True)


if __name__ == "__main__":
    main()
