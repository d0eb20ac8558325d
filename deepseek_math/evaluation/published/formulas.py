r"""Formulas as the published grader reads them: with sympy's own LaTeX parser, else as Python writes them.

    >>> same_formula(r"(x+1)^2", "x^2+2x+1")
    True

The parser reads as much of a text as is a formula (`1:2` is 1) and takes words for products of letters, as there.
NOTE: it reads untrusted text, which may take any time or memory: only `process.py` calls it.
"""

import ast
import operator
from collections.abc import Callable
from math import isclose
from typing import Any

import sympy
from sympy.parsing.latex import _parse_latex_antlr as sympy_latex  # sympy 1.14, see _release

TOLERANCE = 1e-3

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitXor: operator.xor,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
NAMED = (
    *("sqrt", "exp", "log", "ln", "sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan"),
    *("sinh", "cosh", "tanh", "Abs", "factorial", "binomial", "Rational", "pi", "E", "I", "oo"),
)
SYMPY = {name: getattr(sympy, name) for name in NAMED}


def _release(package: str) -> str:
    """The release of antlr that sympy's parser asks for by name. Its generated code runs on 4.13 as well, which
    math-verify's parser needs here; a test compares what it reads."""
    return "4.11"


sympy_latex.version = _release


class NotArithmetic(ValueError):
    """The text is not an expression of numbers, names, operators and a few functions."""


def parse_latex(text: str) -> Any:
    """A sympy object of any kind. Raises whatever the parser raises."""
    return sympy_latex.parse_latex(text)


def parse_python(text: str, numbers: Callable[[Any], Any], names: bool) -> Any:
    """An arithmetic expression in Python's notation, where the original calls eval and so runs what a model wrote.

    `numbers` makes a number of a literal; without `names` there are numbers and operators only. Raises NotArithmetic,
    SyntaxError, or what an operator raises.
    """

    def value(node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=int() | float() | complex() as number):
                return numbers(number)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return OPERATORS[type(op)](value(left), value(right))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
                return OPERATORS[type(op)](value(operand))
            case ast.Name(id=name) if names:
                return SYMPY.get(name) or sympy.Symbol(name)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if names and name in SYMPY:
                return SYMPY[name](*map(value, arguments))
        raise NotArithmetic(f"{type(node).__name__} is not arithmetic")

    return value(ast.parse(text.strip(), mode="eval").body)


def _parsed(text: str) -> Any:
    """None for what is no formula in either notation."""
    try:
        return parse_latex(text)
    except Exception:  # a parser may raise anything about a text that is no formula
        pass
    try:
        return parse_python(text, sympy.sympify, names=True)
    except Exception:
        return None


def same_formula(a: str, b: str) -> bool:
    """Whether the difference of two formulas is zero, or their values are close."""
    one, other = _parsed(a), _parsed(b)
    if one is None or other is None:
        return False
    try:
        if sympy.simplify(one - other) == 0:
            return True
    except Exception:  # relations have no difference, and simplify may fail in many ways
        pass
    try:
        return isclose(sympy.N(one), sympy.N(other), abs_tol=TOLERANCE)
    except Exception:  # neither have formulas with letters a value
        return False
