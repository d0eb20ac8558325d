r"""Which answers the published grader takes for the same. See the package for where it differs from the original.

It is lenient where the service's own grader is strict: 0.5 and 5 pass for 50 (percent), 0.0004 for 0 (tolerance 1e-3),
[1,2] for (1,2), 3j for 3i, 5 m for 5 cm.

Source: evaluation/eval/eval_script.py and evaluation/eval/eval_utils.py.
"""

import re
from collections.abc import Sequence
from math import isclose

from deepseek_math.evaluation.published.formulas import TOLERANCE, same_formula

_BRACKETS = re.compile(r"[(\[].+[)\]]")
_MATRIX = re.compile(r"\\begin\{[pb]matrix\}(.*)\\end\{[pb]matrix\}", re.DOTALL)


def same_one(found: Sequence[str], expected: Sequence[str]) -> bool:
    """The last answer against the one expected."""
    return same(found[-1], expected[0])


def same_list(found: Sequence[str], expected: Sequence[str]) -> bool:
    """MATH: each answer has its match on the other side, in any order; repetitions and earlier boxes don't count."""
    wanted = list(dict.fromkeys(expected))
    return _same_in_any_order(list(dict.fromkeys(found))[-len(wanted) :], wanted)


def same_row(found: Sequence[str], expected: Sequence[str]) -> bool:
    """Gaokao MathCloze: the last answers, one for each blank, in order."""
    parts = list(dict.fromkeys(part for answer in found for part in split(answer)))[-len(expected) :]
    return len(parts) == len(expected) and all(map(same, parts, expected))


def same_letter(found: Sequence[str], expected: Sequence[str]) -> bool:
    """SAT and MMLU."""
    return found[0].lower() == expected[0].lower()


def same_last_letter(found: Sequence[str], expected: Sequence[str]) -> bool:
    """Gaokao MathQA: of A, B, C, D, the one whose first appearance comes last. A label of several letters is never
    met."""
    text = " ".join(found)
    position, letter = max((text.find(letter), letter) for letter in "ABCD")
    return position >= 0 and letter == expected[0]


def split(text: str) -> list[str]:
    """At every semicolon, and at commas outside brackets; brackets count from the last split on."""
    pieces, depth = [""], 0
    for character in text:
        if character == ";" or (character == "," and depth == 0):
            pieces.append("")
            depth = 0
            continue
        pieces[-1] += character
        depth += (character in "([{") - (character in ")]}")
    return [piece.strip() for piece in pieces]


def same(found: str, expected: str) -> bool:
    """Two answers: a union in any order, numbers within the tolerance, else as in `_equal`."""
    if "\\cup" in found and "\\cup" in expected:
        return _same_in_any_order(found.split("\\cup"), expected.split("\\cup"))
    number, wanted = _float(found), _float(expected)
    if number is not None and wanted is not None and abs(number - wanted) < TOLERANCE:
        return True
    return _equal(found, expected)


def _same_in_any_order(found: list[str], expected: list[str]) -> bool:
    grid = [[same(one, other) for other in expected] for one in found]
    if not grid:
        return not expected
    return all(map(any, grid)) and all(map(any, zip(*grid, strict=True)))


def _equal(found: str, expected: str) -> bool:
    """The same text, numbers that are equal but for a factor of 100, parts or sides that are equal, or algebra."""
    if found == expected:
        return True
    number, wanted = _number(found), _number(expected)
    if number is not None and wanted is not None:
        return any(isclose(number, each, abs_tol=TOLERANCE) for each in (wanted / 100, wanted, wanted * 100))
    if not found:
        return False
    found, expected = found.strip(), expected.strip()
    return (
        _same_parts(found, expected)
        or _same_matrix(found, expected)
        or _same_sides(found, expected)
        or same_formula(found, expected)
    )


def _same_parts(found: str, expected: str) -> bool:
    """Of two texts that begin in brackets, whatever their kind, part by part."""
    if not (_BRACKETS.match(found) and _BRACKETS.match(expected)):
        return False
    return _all_equal(found[1:-1].split(","), expected[1:-1].split(","))


def _all_equal(found: list[str], expected: list[str]) -> bool:
    return len(found) == len(expected) and all(map(_equal, found, expected))


def _same_matrix(found: str, expected: str) -> bool:
    matrix, other = _MATRIX.fullmatch(found), _MATRIX.fullmatch(expected)
    if matrix is None or other is None:
        return False
    rows, wanted = _rows(matrix[1]), _rows(other[1])
    return len(rows) == len(wanted) and all(map(_all_equal, rows, wanted))


def _rows(content: str) -> list[list[str]]:
    return [row.strip().split("&") for row in content.split("\\\\") if row.strip()]


def _same_sides(found: str, expected: str) -> bool:
    """Of two equations the difference of their sides; of one whose left side is a short name the right side."""
    if found.count("=") == expected.count("=") == 1:
        one, other = _difference(found), _difference(expected)
        return same_formula(one, other) or same_formula(f"-({one})", other)
    if "=" not in expected and _is_named(found):
        return _equal(found.partition("=")[2], expected)
    if "=" not in found and _is_named(expected):
        return _equal(found, expected.partition("=")[2])
    return False


def _difference(equation: str) -> str:
    left, right = equation.split("=")
    return f"{left.strip()} - ({right.strip()})"


def _is_named(text: str) -> bool:
    return text.count("=") == 1 and len(text.partition("=")[0].strip()) <= 2


def _float(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _number(text: str) -> float | None:
    """A plain number, or a percentage as its share of 1."""
    number = _float(text)
    if number is None and text.endswith("%"):
        share = _float(text.removesuffix("%").removesuffix("\\"))
        number = None if share is None else share / 100
    return number
