"""Word problems: each kind is a row of `word_table.py`, and this file turns a row into problems.

A row's numbers are drawn from ranges or computed from those drawn; its plan is a list of `label = expression` steps,
from which the solution, the program and the answer all come.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

import sympy

from deepseek_math.prompts import Language
from deepseek_math.training.arithmetic import brief, result
from deepseek_math.training.problem import Kind, Problem

SIGN: Mapping[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "×", ast.FloorDiv: "÷"}
PYTHON = {"+": "+", "-": "-", "×": "*", "÷": "//"}
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


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of word problem. Braces in a wording take a number, {name}, {other} or {things}.

    numbers: name -> (least, most) drawn, or an expression of earlier names. where: a condition on them.
    plan: (label en, label zh, name, `a op b`); the last one is the answer.
    """

    name: str
    numbers: Mapping[str, tuple[int, int] | str]
    wordings: Mapping[Language, tuple[str, ...]]
    plan: tuple[tuple[str, str, str, str], ...]
    where: str = "True"

    def values(self, drawn: tuple[int, ...]) -> dict[str, int]:
        """All the numbers from those that are drawn, in the order of `numbers`."""
        left = list(drawn)
        values: dict[str, int] = {}
        for name, source in self.numbers.items():
            values[name] = int(eval(source, {}, values)) if isinstance(source, str) else left.pop(0)
        return values


def kind(row: Row) -> Kind:
    return Kind(f"word_{row.name}", 1, _draw(row), _write(row))


def _draw(row: Row) -> Callable[[Random], tuple[int, ...]]:
    def draw(random: Random) -> tuple[int, ...]:
        while True:
            ranges = [source for source in row.numbers.values() if not isinstance(source, str)]
            drawn = tuple(random.randrange(least, most + 1) for least, most in ranges)
            if eval(row.where, {}, row.values(drawn)):  # the table's own words, not a user's
                return drawn

    return draw


def _write(row: Row) -> Callable[[tuple[int, ...], Language, bool, Random], Problem]:
    def write(parameters: tuple[int, ...], language: Language, worked: bool, random: Random) -> Problem:
        values = row.values(parameters)
        name, other = random.sample(PEOPLE[language], 2)
        words = {"name": name, "other": other, "things": random.choice(THINGS[language])}
        question = random.choice(row.wordings[language]).format(**values, **words)
        lines, program = [], []
        for english, chinese, target, expression in row.plan:
            sign, a, b = _operands(expression, values)
            label = (chinese if language == "zh" else english).format(**words)
            lines.append(f"{label}{'：' if language == 'zh' else ': '}{brief(sign, a, b, worked)}")
            program.append(f"{target}={_source(expression, values)}")
            values[target] = result(sign, a, b)
        program.append(f"print({row.plan[-1][2]})")
        answer = sympy.Integer(values[row.plan[-1][2]])
        name = f"word_{row.name}"
        return Problem(name, parameters, language, question, "\n".join(lines), answer, "\n".join(program))

    return write


def _operands(expression: str, values: Mapping[str, int]) -> tuple[str, int, int]:
    """The sign and the two numbers of `a*b`, each a name or a number."""
    match ast.parse(expression, mode="eval").body:
        case ast.BinOp(left=left, op=operator, right=right):
            one, other = (eval(ast.unparse(side), {}, dict(values)) for side in (left, right))
            return SIGN[type(operator)], int(one), int(other)
    raise ValueError(f"{expression!r} is not one operation")


def _source(expression: str, values: Mapping[str, int]) -> str:
    """The step as Python: the question's numbers written out, earlier results by name."""
    body = ast.parse(expression, mode="eval").body
    assert isinstance(body, ast.BinOp)
    sides = [ast.unparse(side) for side in (body.left, body.right)]
    sides = [str(values[side]) if len(side) == 1 and side in values else side for side in sides]
    return PYTHON[SIGN[type(body.op)]].join(sides)
