"""Finds the equations in a worked solution and evaluates both sides exactly, with sympy.

    >>> equations("2x3 has no equation, 2+3 [2+3=5]=5 has two.", {})
    2

What is written in brackets is worked digit by digit; the line without its brackets is an equation too.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import sympy

# Digits, operators and brackets; of the letters only x, f, F and f', and only where they are not part of a word.
_MATH = re.compile(r"(?:(?<![A-Za-z\\])(?:f'|[xFf])(?![A-Za-z'])|[0-9.+\-×÷/^()=\[\],])+")
_BRACKETS = re.compile(r"\[([^\]]*)\]")
_PRODUCT_WITHOUT_SIGN = re.compile(r"(\d|\))(?=[xFf(])|(?<=\))(?=\d)")
_PYTHON = {"×": "*", "÷": "/", "^": "**", "f'": "df"}
_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}


class Wrong(ValueError):
    """A generated text states something that is not true."""


def equations(text: str, names: Mapping[str, Any]) -> int:
    """Evaluates every equation of `text` and returns how many there are: a=b=c counts as two.

    `names` says what the letters stand for: x is a number, F and df are functions. Raises Wrong for a false equation.
    """
    count = 0
    for sides in chains(text):
        values = [evaluate(side, names) for side in sides]
        if any(value != values[0] for value in values):
            raise Wrong(f"{'='.join(sides)} in {text!r}")
        count += len(sides) - 1
    return count


def chains(text: str) -> Iterator[list[str]]:
    """The sides of every `a=b=c` in `text`. Those in brackets come before the equation that they work out."""
    for line in text.split("\n"):
        for found in _MATH.finditer(line.replace(" [", "[")):
            in_brackets = _BRACKETS.findall(found[0])
            around = _BRACKETS.sub("", found[0])
            for part in (*in_brackets, around):
                yield from _chains_of(part)


def _chains_of(part: str) -> Iterator[list[str]]:
    for chain in part.split(","):
        sides = chain.strip(".").split("=")
        if len(sides) > 1 and all(sides):
            yield sides


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """The exact value of an expression as the steps write it, such as `2x^3÷3`. Raises Wrong."""
    return _value(_parsed(expression), names)


@lru_cache(maxsize=100_000)
def _parsed(expression: str) -> ast.expr:
    python = expression
    for sign, operator in _PYTHON.items():
        python = python.replace(sign, operator)
    python = _PRODUCT_WITHOUT_SIGN.sub(r"\1*", python)
    try:
        return ast.parse(python, mode="eval").body
    except SyntaxError as error:
        raise Wrong(f"{expression!r} is not an expression") from error


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int(number)):
            return sympy.Integer(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.BinOp(left=left, op=operator, right=right):
            return _OPERATORS[type(operator)](_value(left, names), _value(right, names))
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in names:
            return names[name](_value(argument, names))
    raise Wrong(f"{ast.dump(node)} has no value")
