"""A problem of the tiny family's field: its wording, its worked solution, its program and its answer."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import sympy

from deepseek_math.language import Language

Parameters = tuple[int, ...]

HELD_OUT = 16  # one set of parameters in 16 is kept for measuring and never trained on
ANSWER: Mapping[Language, str] = {"en": "The answer is $\\boxed{{{}}}$.", "zh": "答案是$\\boxed{{{}}}$。"}
SCRIPT: Mapping[Language, str] = {"en": "A program works this out.", "zh": "用程序来计算。"}

TOKENS = 640  # the longest solution of the field has about 560


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in one wording. `names` says what letters in the steps stand for: x a number, F a function."""

    kind: str
    parameters: Parameters
    language: Language
    question: str
    steps: str
    answer: sympy.Expr
    program: str
    names: Mapping[str, Any] = field(default_factory=dict)

    @property
    def last_line(self) -> str:
        return ANSWER[self.language].format(latex(self.answer))

    @property
    def solution(self) -> str:
        return f"{self.steps}\n{self.last_line}"

    @property
    def output(self) -> str:
        return str(self.answer)

    @property
    def program_solution(self) -> str:
        """In the published tool format: words, program, its output, answer."""
        words = SCRIPT[self.language]
        return f"{words}\n```python\n{self.program}\n```\n```output\n{self.output}\n```\n{self.last_line}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: how its parameters are drawn, and how a problem is written from them.

    `write(parameters, language, worked, random)` draws the wording and the names from `random`, never the numbers.
    `weight` is the kind's share among the problems that are drawn.
    """

    name: str
    weight: float
    draw: Callable[[Random], Parameters]
    write: Callable[[Parameters, Language, bool, Random], Problem]


def held_out(kind: str, parameters: Parameters) -> bool:
    """Whether these parameters are kept for measuring. It depends on them alone, so no two runs can differ."""
    digest = hashlib.sha256(f"{kind}{parameters}".encode()).digest()
    return digest[0] % HELD_OUT == 0


def latex(value: sympy.Expr) -> str:
    r"""The answer as it is written in the box: `42`, `-\frac{8}{3}`, `6x^2+2`."""
    if value.is_Rational and not value.is_Integer:
        sign = "-" if value < 0 else ""
        return f"{sign}\\frac{{{abs(value.p)}}}{{{value.q}}}"
    return str(value).replace("**", "^").replace("*", "").replace(" ", "")
