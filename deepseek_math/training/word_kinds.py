"""Word problems. Each kind is a row of `word_table.py`; this file turns a row into problems.

Some numbers of a row are drawn, the others are computed from those before them. A row's plan is a list of steps of one
operation each. The worked solution, the program and the answer all come from it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random

import sympy

from deepseek_math.language import Language
from deepseek_math.training.arithmetic import brief, result
from deepseek_math.training.problem import Kind, Parameters, Problem

Range = tuple[int, int]  # the least and the largest value

OPERATION = re.compile(r"(\w+)(//|[-+*])(\w+)")
SIGNS: Mapping[str, str] = {"+": "+", "-": "-", "*": "×", "//": "÷"}
PEOPLE: Mapping[Language, tuple[str, ...]] = {
    "en": (
        "Anna", "Ben", "Clara", "David", "Emma", "Frank", "Grace", "Henry", "Ivy", "Jack", "Kate", "Leo", "Maria",
        "Nick", "Olivia", "Paul", "Rosa", "Sam", "Tom", "Wei",
    ),
    "zh": ("小明", "小红", "小华", "小丽", "小刚", "小芳", "小强", "小军", "李雷", "王芳"),
}  # fmt: skip
THINGS: Mapping[Language, tuple[str, ...]] = {
    "en": (
        "apples", "oranges", "pears", "eggs", "books", "pens", "balls", "cards", "stamps", "cookies", "flowers",
        "marbles", "toys", "candies", "pencils", "stickers",
    ),
    "zh": ("苹果", "橙子", "梨", "鸡蛋", "球", "玩具", "面包", "杯子", "气球", "贝壳"),
}  # fmt: skip
COLON: Mapping[Language, str] = {"en": ": ", "zh": "："}


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of word problem. Braces in a wording take a number, {name}, {other} or {things}.

    numbers: how each is found: drawn from a range, or computed from the numbers before it.
    plan: steps (label in English, label in Chinese, name of the result, `a+b`). The last result is the answer.
    where: a condition on all the numbers; without one, any will do.
    """

    name: str
    numbers: Mapping[str, Range | Callable[..., int]]
    wordings: Mapping[Language, tuple[str, ...]]
    plan: tuple[tuple[str, str, str, str], ...]
    where: Callable[..., bool] | None = None

    def ranges(self) -> list[Range]:
        return [source for source in self.numbers.values() if isinstance(source, tuple)]

    def values(self, drawn: Iterable[int]) -> dict[str, int]:
        """All the numbers, by name, from those that were drawn."""
        left = iter(drawn)
        values: dict[str, int] = {}
        for name, source in self.numbers.items():
            values[name] = next(left) if isinstance(source, tuple) else source(*values.values())
        return values


def kind(row: Row) -> Kind:
    return Kind(f"word_{row.name}", 1, partial(_draw, row), partial(_write, row))


def _draw(row: Row, random: Random) -> Parameters:
    while True:
        drawn = tuple(random.randrange(least, most + 1) for least, most in row.ranges())
        if row.where is None or row.where(*row.values(drawn).values()):
            return drawn


def _write(row: Row, parameters: Parameters, language: Language, worked: bool, random: Random) -> Problem:
    values = row.values(parameters)
    name, other = random.sample(PEOPLE[language], 2)
    words = {"name": name, "other": other, "things": random.choice(THINGS[language])}
    question = random.choice(row.wordings[language]).format(**values, **words)
    lines, program = [], []
    for english, chinese, target, expression in row.plan:
        left, operator, right = _operation(expression)
        sign, a, b = SIGNS[operator], _value(left, values), _value(right, values)
        label = {"en": english, "zh": chinese}[language].format(**words)
        lines.append(f"{label}{COLON[language]}{brief(sign, a, b, worked)}")
        program.append(f"{target}={_in_program(left, values)}{operator}{_in_program(right, values)}")
        values[target] = result(sign, a, b)
    answer = row.plan[-1][2]
    program.append(f"print({answer})")
    return Problem(
        kind=f"word_{row.name}",
        parameters=parameters,
        language=language,
        question=question,
        steps="\n".join(lines),
        answer=sympy.Integer(values[answer]),
        program="\n".join(program),
    )


def _operation(expression: str) -> tuple[str, str, str]:
    """The parts of `a+b`: each side is a name or a number."""
    found = OPERATION.fullmatch(expression)
    if found is None:
        raise ValueError(f"{expression!r} is not one operation")
    left, operator, right = found.groups()
    return left, operator, right


def _value(side: str, values: Mapping[str, int]) -> int:
    return int(side) if side.isdecimal() else values[side]


def _in_program(side: str, values: Mapping[str, int]) -> str:
    """The side as a program writes it: numbers of the question as numbers, earlier results by name."""
    return str(values[side]) if len(side) == 1 and side in values else side
