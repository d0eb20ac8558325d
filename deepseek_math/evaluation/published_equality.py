r"""Which answers the published grader takes for the same: its comparison rules, restated.

Source: deepseek-ai/DeepSeek-Math at b8b0f8c, evaluation/eval/eval_script.py, eval_utils.py, ocwcourses_eval_utils.py,
data_processing/answer_extraction.py. It is lenient where the service's own grader is strict: 0.5 and 5 pass for 50
(percent), 0.0004 for 0 (tolerance 1e-3), [1,2] for (1,2), 3j for 3i, 5 m for 5 cm.

Differs: algebra is the service's own (math-verify in killable processes) where the original calls sympy, and its
tolerance holds for numbers, fractions, roots and powers only; of the table of words that
Minerva's normaliser drops from OCW's expressions, only blanks, markup and units are dropped. Run side by side (sympy
1.12, antlr 4.11), 12 of 311 hard pairs were judged otherwise (1:2 and a half, \lg, anagrams), and 0 of 322 completions.
"""

import re
from math import isclose

from deepseek_math.evaluation.undecided import equivalent

TOLERANCE = 1e-3
CLOSE = 1e-5  # relative, for OCW's numbers: numpy's isclose

_NORMAL: tuple[tuple[str, str], ...] = (
    (r"\n|\\!|\\left|\\right|\\\$|\$|x\\in|\\cdot|\\mathbf|\\mathrm|\\mbox\{.*?\}", ""),
    (r"^\s*\\text\{(.*)\}$", r"\1"),
    (r"[tdc]frac", "frac"),
    (r"(?<=.)\s*\\text\{[^{}]*\}$", ""),  # a unit at the end
    (r"\^\{?\\circ\}?", ""),
    (r"\{(?:c|m)?m\}(?:\^[23])?", ""),
    (r"\\%", "%"),
    (r"\+(?=\\infty)", ""),
    (r"(\d+)\.0+(?=\D|$)", r"\1"),
    (r"(?<!\d)\.(?=\d)", "0."),
    (r"\\sqrt(-?[0-9.a-zA-Z])(?![a-zA-Z])", r"\\sqrt{\1}"),
    (r"\s", ""),
    (r"\\frac([^{\\])([^{\\])", r"\\frac{\1}{\2}"),
    (r"^(-?\d+)/(-?\d+)$", r"\\frac{\1}{\2}"),
    (r"(?:\\|,|\.)+$", ""),
)
_BRACKETS = re.compile(r"[(\[].+[)\]]")
# No name, no power of a power: nothing that could take long.
_PLAIN = re.compile(r"(?:[\d.+\-/\s{}]|\\frac|\\sqrt|(?<!\})\^(?:\d|\{-?\d{1,2}\})(?!\^)){1,40}")
_FORMULA = re.compile(
    r"(?:[\d+\-*/^_().{}|!]|(?<![A-Za-z])[A-Za-z]{1,3}(?![A-Za-z])|(?<!\d)\\frac(?![a-z])"
    r"|\\(?:sqrt|pi|theta|alpha|beta|sin|cos|tan|cot|log|ln|exp|times|binom)(?![a-z]))+"
)
_MATRIX = re.compile(r"\\begin\{[pb]matrix\}(.*)\\end\{[pb]matrix\}")
_LETTERS = re.compile(r"\\?[A-Za-z]+")
_POWER_OF_TEN = re.compile(r"(-?\d+\.?\d*)\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{?\s*(-?\d{1,3})\s*\}?")
_UNITS = re.compile(r"\\(?:mathrm|text)\{[^{}]*\}|\s*(?:kg|eV|erg/s|g/mole?|years?|cm|m/s|W)\s*$")


def normal(answer: str) -> str:
    """An answer in the form that is compared: no units, degrees, dollars or blanks, one spelling of a fraction."""
    text = answer.strip().rstrip(".")
    for pattern, replacement in _NORMAL:
        text = re.sub(pattern, replacement, text)
    if "j" in text and "i" not in text:
        text = text.replace("j", "i")
    return re.sub(r"infinity|(?<!\\)inf(?!ty)", r"\\infty", text)


async def same_one(found: list[str], expected: list[str]) -> bool:
    """One answer against one."""
    return bool(found) and await same(found[-1], expected[0])


async def same_list(found: list[str], expected: list[str]) -> bool:
    """MATH: each answer has its match on the other side, in any order; repetitions and earlier boxes don't count."""
    if len(expected) > 1 and len(found) == 1 and not _BRACKETS.search(found[0]):
        found = found[0].split(",")
    expected = list(dict.fromkeys(expected))
    return await _unordered(list(dict.fromkeys(found))[-len(expected) :], expected)


async def same_row(found: list[str], expected: list[str]) -> bool:
    """Gaokao cloze: the last answers, one for each blank, in order."""
    parts = list(dict.fromkeys(part for answer in found for part in pieces(answer)))[-len(expected) :]
    pairs = zip(parts, expected, strict=False)
    return len(parts) == len(expected) and all([await same(part, answer) for part, answer in pairs])


async def same_letter(found: list[str], expected: list[str]) -> bool:
    return bool(found) and found[0].lower() == expected[0].lower()


async def same_last_letter(found: list[str], expected: list[str]) -> bool:
    """Gaokao choice: of A, B, C, D, the one whose first appearance comes last."""
    text = " ".join(found)
    place, letter = max((text.find(letter), letter) for letter in "ABCD")
    return place >= 0 and letter == expected[0]


async def same_ocw(found: list[str], expected: list[str]) -> bool:
    """OCW: a number to five digits, an equation by algebra, else the same text."""
    answer = found[-1] if found else ""
    wanted = value(expected[0])
    if wanted is not None:
        number = value(_UNITS.sub("", answer).strip("$ "))
        return number is not None and isclose(number, wanted, rel_tol=CLOSE, abs_tol=1e-8)
    if "=" in expected[0]:
        return await _same_sides(normal(answer), normal(expected[0]))
    return normal(answer.split("=")[-1]) == normal(expected[0].split("=")[-1])


async def same(found: str, expected: str) -> bool:
    """Two answers in normal form: as numbers within the tolerance or a factor of 100, in parts, else by algebra."""
    if "\\cup" in found and "\\cup" in expected:
        return await _unordered(found.split("\\cup"), expected.split("\\cup"))
    a, b = _number(found), _number(expected)
    if a is not None and b is not None:
        return any(isclose(a, item, abs_tol=TOLERANCE) for item in (b / 100, b, b * 100))
    if not found or found == expected:
        return bool(found)
    if await _same_parts(found, expected) or await _same_sides(found, expected):
        return True
    a, b = value(found), value(expected)
    return (a is not None and b is not None and isclose(a, b, abs_tol=TOLERANCE)) or await _same_formula(
        found, expected
    )


async def _same_formula(found: str, expected: str) -> bool:
    """By algebra, where both are one formula: to the original, words, lists and inequalities are none, and i and e are
    letters like any other."""
    if not (_FORMULA.fullmatch(found) and _FORMULA.fullmatch(expected)) or len(found) == len(expected) == 1:
        return False
    return await equivalent(_LETTERS.sub(_product, found), _LETTERS.sub(_product, expected))


def _product(letters: re.Match[str]) -> str:
    """`xy` as x times y; a command stays."""
    if letters[0].startswith("\\"):
        return letters[0]
    return "\\cdot ".join({"i": "u", "e": "v"}.get(letter, letter) for letter in letters[0])


async def _same_parts(found: str, expected: str) -> bool:
    """Of two texts in brackets or two matrices, of whatever kind, part by part."""
    if _MATRIX.fullmatch(found) and _MATRIX.fullmatch(expected):
        parts, others = ([*re.split(r"&|(\\\\)", _MATRIX.sub(r"\1", text))] for text in (found, expected))
        parts, others = ([part or "&" for part in side] for side in (parts, others))
    elif _BRACKETS.fullmatch(found) and _BRACKETS.fullmatch(expected):
        parts, others = found[1:-1].split(","), expected[1:-1].split(",")
    else:
        return False
    return len(parts) == len(others) and all([await same(*pair) for pair in zip(parts, others, strict=True)])


async def _same_sides(found: str, expected: str) -> bool:
    """Of two equations the difference of their sides; of one whose left side is a short name the right side."""
    if found.count("=") == expected.count("=") == 1:
        one, other = (re.sub(r"^(.*)=(.*)$", r"\1-(\2)", text) for text in (found, expected))
        return await _same_formula(one, other) or await _same_formula(f"-({one})", other)
    for one, other in ((found, expected), (expected, found)):
        name, equals, right = one.partition("=")
        if equals and len(name.strip()) <= 2 and "=" not in right + other and await same(right, other):
            return True
    return False


def value(text: str) -> float | None:
    r"""The value of a plain number, of a times a power of ten, of fractions and roots of plain numbers; else None."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        pass
    if power := _POWER_OF_TEN.fullmatch(text.strip()):
        return float(f"{float(power[1])}e{power[2]}")
    if not _PLAIN.fullmatch(text):
        return None
    from latex2sympy2_extended import latex2sympy  # type: ignore[import-untyped]  # takes a second

    try:
        return float(latex2sympy(re.sub(r"(?<=\d)\\frac", r"\\cdot\\frac", text)).evalf())
    except Exception:  # a parser may raise anything about a text that is no formula
        return None


def _number(text: str) -> float | None:
    text = text.replace(",", "")
    try:
        return float(text.rstrip("%").rstrip("\\")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return None


async def _unordered(found: list[str], expected: list[str]) -> bool:
    grid = [[await same(one, other) for other in expected] for one in found]
    return all(any(row) for row in grid) and all(any(column) for column in zip(*grid, strict=True)) and bool(grid)


def pieces(text: str) -> list[str]:
    """Split at every semicolon, and at commas outside brackets, Chinese ones too."""
    found, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter in ";；" or (letter in ",，" and depth == 0):
            found.append("")
        else:
            found[-1] += letter
    return [piece.strip() for piece in found if piece.strip()]
