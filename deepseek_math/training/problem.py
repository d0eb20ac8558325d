"""A problem of the family's field: its wording, its worked solution, its program and its answer, checked with sympy.

What is written between brackets in a solution is worked digit by digit; without it the line stays a true equation.
`check` takes every equation out of the text and evaluates both sides exactly; nothing that was generated is exempt.
"""

import ast
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any

import sympy

from deepseek_math.prompts import Language

HELD_OUT = 16  # one set of parameters in so many is never trained on
ANSWER: Mapping[Language, str] = {"en": "The answer is $\\boxed{{{}}}$.", "zh": "答案是$\\boxed{{{}}}$。"}
SCRIPT: Mapping[Language, str] = {"en": "A program works this out.", "zh": "用程序来计算。"}

_MATH = re.compile(r"(?:(?<![A-Za-z\\])(?:f'|[xFf])(?![A-Za-z'])|[0-9.+\-×÷/^()=\[\],])+")
_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}


class Wrong(ValueError):
    """A generated text states something that is not so."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in one wording. `names` gives the letters of the steps their meaning: x a number, F a function."""

    kind: str
    parameters: tuple[int, ...]
    language: Language
    question: str
    steps: str
    answer: sympy.Expr
    program: str
    names: Mapping[str, Any] = field(default_factory=dict)

    @property
    def solution(self) -> str:
        return f"{self.steps}\n{ANSWER[self.language].format(latex(self.answer))}"

    @property
    def output(self) -> str:
        return str(self.answer)

    @property
    def program_solution(self) -> str:
        """In the published tool format: words, program, its output, answer."""
        last = ANSWER[self.language].format(latex(self.answer))
        words = SCRIPT[self.language]
        return f"{words}\n```python\n{self.program}\n```\n```output\n{self.output}\n```\n{last}"


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the field: how parameters are drawn, and how a problem is written from them.

    `write(parameters, language, worked, random)`: the random source chooses among wordings and names, never numbers.
    `weight` is the kind's share among the problems that are drawn.
    """

    name: str
    weight: float
    draw: Callable[[Random], tuple[int, ...]]
    write: Callable[[tuple[int, ...], Language, bool, Random], Problem]


def held_out(kind: str, parameters: tuple[int, ...]) -> bool:
    """Whether these parameters belong to the held-out set: a matter of the parameters alone, so no run can mix them."""
    digest = hashlib.sha256(f"{kind}{parameters}".encode()).digest()
    return digest[0] % HELD_OUT == 0


def latex(value: sympy.Expr) -> str:
    r"""As it stands in the box: `42`, `-\frac{8}{3}`, `6x^2+2`."""
    if value.is_Rational and not value.is_Integer:
        sign = "-" if value < 0 else ""
        return f"{sign}\\frac{{{abs(value.p)}}}{{{value.q}}}"
    return str(value).replace("**", "^").replace("*", "").replace(" ", "")


def check(problem: Problem) -> int:
    """The number of equations in the steps: all of them are true, and the last one ends in the answer.

    Raises Wrong for a false equation, for steps that lead elsewhere, or for a program that prints another answer.
    """
    count = equations(problem.steps, problem.names)
    found = list(_chains(problem.steps))
    if not found:
        raise Wrong(f"no step in {problem.steps!r}")
    answer = problem.answer.subs("x", problem.names.get("x", 0))
    if evaluate(found[-1][-1], problem.names) != answer:
        raise Wrong(f"{problem.steps!r} does not end in {problem.answer}")
    output = printed(problem.program)
    if output != problem.output:
        raise Wrong(f"{problem.program!r} prints {output!r}, not {problem.output!r}")
    return count


def printed(program: str) -> str:
    """What one of our own programs prints; a model's programs are the sandbox's business."""
    output = io.StringIO()
    with redirect_stdout(output):
        exec(program, {})
    return output.getvalue().rstrip("\n")


def equations(text: str, names: Mapping[str, Any]) -> int:
    """Evaluates every equation of `text`; raises Wrong for a false one. Returns how many sides were compared."""
    count = 0
    for sides in _chains(text):
        values = [evaluate(side, names) for side in sides]
        if any(value != values[0] for value in values):
            raise Wrong(f"{'='.join(sides)} in {text!r}")
        count += len(sides) - 1
    return count


def _chains(text: str) -> Iterator[list[str]]:
    """The sides of every `a=b=c` in `text`, those in brackets before the one that they work out."""
    for line in text.split("\n"):
        for found in _MATH.finditer(line.replace(" [", "[")):
            inner = re.findall(r"\[([^\]]*)\]", found[0])
            outer = re.sub(r"\[[^\]]*\]", "", found[0])
            for chain in (piece for part in (*inner, outer) for piece in part.split(",")):
                sides = chain.strip(".").split("=")
                if len(sides) > 1 and all(sides):
                    yield sides


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """The exact value of an expression as the steps write it: `2x^3÷3` with x from `names`."""
    return _value(_parsed(expression), names)


@lru_cache(maxsize=100_000)
def _parsed(expression: str) -> ast.expr:
    python = expression.replace("×", "*").replace("÷", "/").replace("^", "**").replace("f'", "df")
    python = re.sub(r"(\d|\))(?=[xFf(])|(?<=\))(?=\d)", r"\1*", python)
    try:
        return ast.parse(python, mode="eval").body
    except SyntaxError as error:
        raise Wrong(f"{expression!r} is no expression") from error


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
