r"""Which answers to OCW Courses the published grader takes for the same: numbers, equations, formulas as text.

As there, an exact answer counts as wrong where the expected number is negative or zero (`_close`: seven rows), and
where the expected formula ends with a newline (one row). Two equations are the same only in the same form.

Source: evaluation/eval/ocwcourses_eval_utils.py and `eval_ocwcourses` in evaluation/eval/eval_script.py; the words
and the order of the replacements are Minerva's (Lewkowycz et al. 2022, arXiv 2206.14858, appendix D).
"""

import ast
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from sympy import Eq

from deepseek_math.evaluation.published.findings import INVALID
from deepseek_math.evaluation.published.formulas import parse_latex

RELATIVE, ABSOLUTE = 1e-5, 1e-8  # tolerances: numpy's isclose
NEAR_ZERO = 0.01  # relative to the mean, where a number or a difference is within ABSOLUTE of zero

# In the order of their removal, which matters: without "cm", `\mathrm{~cm}` is not a unit any more.
UNITS = (
    "eV",
    " \\mathrm{~kg} \\cdot \\mathrm{m} / \\mathrm{s}",
    " kg m/s",
    "kg*m/s",
    "kg",
    "m/s",
    "m / s",
    "m s^{-1}",
    "\\text{ m/s}",
    " \\mathrm{m/s}",
    " \\text{ m/s}",
    "g/mole",
    "g/mol",
    "\\mathrm{~g}",
    "\\mathrm{~g} / \\mathrm{mol}",
    "W",
    "erg/s",
    "years",
    "year",
    "cm",
    "\\mathrm{m}",
    "\\mathrm{~m}",
    "\\mathrm{s}",
    "\\mathrm{~s}",
    "\\mathrm{cm}",
    "\\mathrm{~cm}",
)
REPLACED = (
    ("an ", ""),
    ("a ", ""),
    (".$", "$"),
    ("\\$", ""),
    ("\\ ", ""),
    (" ", ""),
    ("mbox", "text"),
    (",\\text{and}", ","),
    ("\\text{and}", ","),
    ("\\text{m}", "\\text{}"),
)
REMOVED = (
    *("square", "ways", "integers", "dollars", "mph", "inches", "ft", "hours", "km", "units", "\\ldots", "sue"),
    *("points", "feet", "minutes", "digits", "cents", "degrees", "cm", "gm", "pounds", "meters", "meals", "edges"),
    *("students", "childrentickets", "multiples", "\\text{s}", "\\text{.}", "\\text{\ns}", "\\text{}^2"),
    *("\\text{}^3", "\\text{\n}", "\\text{}", "\\mathrm{th}", "^\\circ", "^{\\circ}", "\\;", ",\\!", "{,}", '"'),
    "\\dots",
)
SPELLING = (
    (r"(.*?)(\$)(.*?)(\$)(.*)", r"$\3$"),
    (r"\\text\{(.*?)\}", r"\1"),
    (r"\\textbf\{(.*?)\}", r"\1"),
    (r"\\overline\{(.*?)\}", r"\1"),
    (r"\\boxed\{(.*)\}", r"\1"),
    (r"(frac)([^{])(.)", r"frac{\2}{\3}"),
    (r"(sqrt)([^{])", r"sqrt{\2}"),
)
OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.BitXor: operator.xor,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def same_ocw(found: Sequence[str], expected: Sequence[str]) -> bool:
    """The last answer against the one expected, whose form says how: a number, an equation, else text."""
    answer, wanted = found[-1], expected[0]
    if not answer or answer == INVALID:
        return False
    try:
        float(wanted)
    except ValueError:
        pass
    else:
        number, wanted_number = _number(answer), _number(wanted)
        return number is not None and wanted_number is not None and _close(number, wanted_number)
    if "=" in wanted:
        equation = _equation(answer)
        return equation is not None and bool(equation == _equation(wanted))
    return _text(answer) == _text(wanted)


def _number(text: str) -> float | None:
    """A number in Python's notation or LaTeX's, with or without a unit."""
    for unit in UNITS:
        text = text.replace(unit, "").strip()
    text = text.strip("$")
    try:
        return float(_python_number(ast.parse(text, mode="eval").body))
    except Exception:  # not a number in Python's notation
        pass
    try:
        formula = parse_latex(text)
        return float(formula) if formula.is_number else None
    except Exception:  # nor in LaTeX's
        return None


def _python_number(node: ast.AST) -> Any:
    """The value of numbers and operators in Python's notation. Raises ValueError for anything else, where the original
    runs what a model wrote, and whatever an operator raises."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_python_number(left), _python_number(right))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_python_number(operand))
    raise ValueError(f"{type(node).__name__} is not arithmetic")


def _close(found: float, expected: float) -> bool:
    difference = abs(found - expected)
    if min(abs(found), abs(expected), difference) <= ABSOLUTE:
        return difference < NEAR_ZERO * (found + expected) / 2
    return difference <= ABSOLUTE + RELATIVE * abs(expected)


def _equation(text: str) -> Any:
    """None for what is not an equation."""
    text = text.removeprefix("\\[").removesuffix("\\]")
    text = text.replace("\\left(", "(").replace("\\right)", ")").replace("\\\\", "\\").strip("$")
    try:
        equation = parse_latex(text)
    except Exception:  # a parser may raise anything about a text that is not a formula
        return None
    return equation if isinstance(equation, Eq) else None


def _text(formula: str) -> str:
    """The right side, without the words and units that Minerva's rules name, in one spelling."""
    text = formula.rsplit("=", maxsplit=1)[-1]
    for before, after in REPLACED:
        text = text.replace(before, after)
    for words in REMOVED:
        text = text.replace(words, "")
    for pattern, replacement in SPELLING:
        text = re.sub(pattern, replacement, text)
    text = text.replace("$", "")
    without_commas = text.replace(",", "")
    return without_commas if without_commas.isdigit() else text
