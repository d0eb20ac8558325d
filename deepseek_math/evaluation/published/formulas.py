r"""Formulas as the published grader reads them: with sympy's own LaTeX parser.

    >>> same_formula(r"(x+1)^2", "x^2+2x+1")
    True

The parser reads as much of a text as is a formula (`1:2` is 1) and takes words for products of letters, as there.
NOTE: untrusted text may take any time or memory. `verdict_process.py` runs this, in a process that can be killed.
"""

from math import isclose
from typing import Any

import sympy
from sympy.parsing import latex

TOLERANCE = 1e-3


def parse_latex(text: str) -> Any:
    """A sympy object of any kind. Raises whatever the parser raises."""
    return latex.parse_latex(text)


def same_formula(a: str, b: str) -> bool:
    """Whether the difference of two formulas is zero, or their values are close. False for what is not a formula."""
    try:
        one, other = parse_latex(a), parse_latex(b)
    except Exception:  # a parser may raise anything about a text that is not a formula
        return False
    try:
        if sympy.simplify(one - other) == 0:
            return True
    except Exception:  # relations have no difference, and simplify may fail in many ways
        pass
    try:
        return isclose(sympy.N(one), sympy.N(other), abs_tol=TOLERANCE)
    except Exception:  # formulas with letters have no value
        return False
