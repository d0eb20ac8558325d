"""The kinds of problem about percentages: a share, a rise, a fall, and what share one number is of another."""

from collections.abc import Mapping
from functools import partial
from random import Random

import sympy

from deepseek_math.language import Language
from deepseek_math.training.arithmetic import brief
from deepseek_math.training.problem import Kind, Parameters, Problem
from deepseek_math.training.wording import Wordings

WORDINGS: Mapping[str, Wordings] = {
    "percent_of": {
        "en": ("What is {p}% of {n}?", "Find {p}% of {n}.", "Calculate {p} percent of {n}.", "{p}% of {n}"),
        "zh": ("{n}的{p}%是多少？", "求{n}的{p}%。"),
    },
    "percent_up": {
        "en": ("Increase {n} by {p}%.", "A price of {n} dollars rises by {p}%. What is the new price?"),
        "zh": ("{n}增加{p}%后是多少？", "一件商品原价{n}元，涨价{p}%，现价多少元？"),
    },
    "percent_down": {
        "en": ("Decrease {n} by {p}%.", "A price of {n} dollars falls by {p}%. What is the new price?"),
        "zh": ("{n}减少{p}%后是多少？", "一件商品原价{n}元，降价{p}%，现价多少元？"),
    },
    "percent_what": {
        "en": ("What percent of {n} is {part}?", "{part} is what percent of {n}?"),
        "zh": ("{part}是{n}的百分之几？", "{part}占{n}的百分之多少？"),
    },
}


def _draw(random: Random) -> Parameters:
    """A percentage and a number of which it is a whole number."""
    while True:
        p, n = random.choice((*range(5, 100, 5), *range(1, 100))), random.randrange(10, 1000)
        if p * n % 100 == 0:
            return p, n


def _solved(name: str, p: int, n: int, worked: bool) -> tuple[list[str], int, str]:
    """The lines of the solution, the answer, and the expression that a program prints."""
    part = n * p // 100
    if name == "percent_what":
        lines = [f"{part}×100={part * 100}", brief("÷", part * 100, n, worked)]
        return lines, p, f"{part}*100//{n}"
    lines = [brief("×", n, p, worked), f"{n * p}÷100={part}"]
    match name:
        case "percent_up":
            return [*lines, brief("+", n, part, worked)], n + part, f"{n}+{n}*{p}//100"
        case "percent_down":
            return [*lines, brief("-", n, part, worked)], n - part, f"{n}-{n}*{p}//100"
        case _:
            return lines, part, f"{n}*{p}//100"


def _write(name: str, parameters: Parameters, language: Language, worked: bool, random: Random) -> Problem:
    p, n = parameters
    lines, answer, program = _solved(name, p, n, worked)
    return Problem(
        kind=name,
        parameters=parameters,
        language=language,
        question=random.choice(WORDINGS[name][language]).format(p=p, n=n, part=n * p // 100),
        steps="\n".join(lines),
        answer=sympy.Integer(answer),
        program=f"print({program})",
    )


WEIGHTS = {"percent_of": 2.5, "percent_up": 1.5, "percent_down": 1.5, "percent_what": 1.5}
KINDS = tuple(Kind(name, weight, _draw, partial(_write, name)) for name, weight in WEIGHTS.items())
