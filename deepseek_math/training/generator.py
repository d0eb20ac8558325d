"""Draws problems of the tiny family's field, from either side of the held-out split. Each one is checked.

The kinds are data: `integer_kinds.py`, `fraction_kinds.py`, `percent_kinds.py`, `calculus_kinds.py`,
`equation_kinds.py` and `word_table.py`.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from deepseek_math.language import Language, language
from deepseek_math.training import (
    calculus_kinds,
    equation_kinds,
    fraction_kinds,
    integer_kinds,
    percent_kinds,
    word_table,
)
from deepseek_math.training.check import check
from deepseek_math.training.problem import Kind, Parameters, Problem, held_out
from deepseek_math.training.word_kinds import PEOPLE

TABLES = (integer_kinds, fraction_kinds, percent_kinds, calculus_kinds, equation_kinds, word_table)
KINDS: dict[str, Kind] = {kind.name: kind for table in TABLES for kind in table.KINDS}
CHINESE = 0.35  # share of the problems
CASUAL = 0.3  # share of the questions that are typed carelessly
GREETINGS = ("Please ", "please ", "Hi, ", "hey, ", "Can you tell me: ")
_WEIGHTS = [kind.weight for kind in KINDS.values()]


def draw(
    random: Random,
    *,
    held: bool,
    worked: bool = True,
    kind: str | None = None,
    among: Callable[..., bool] | None = None,
) -> Problem:
    """One checked problem.

    held: whether its parameters are from the held-out side. worked: whether its arithmetic is written digit by digit.
    kind: the name of its kind; drawn by weight when None. among: a condition on its parameters.
    """
    row = KINDS[kind or pick(random)]
    parameters = _parameters(row, random, held, among)
    wanted: Language = "zh" if random.random() < CHINESE else "en"
    problem = row.write(parameters, wanted, worked, random)
    if random.random() < CASUAL:
        problem = replace(problem, question=casual(problem.question, random))
    if language(problem.question) != wanted:  # the service takes a bare expression for English
        problem = replace(row.write(parameters, "en", worked, random), question=problem.question)
    check(problem)
    return problem


def _parameters(kind: Kind, random: Random, held: bool, among: Callable[..., bool] | None) -> Parameters:
    while True:
        parameters = kind.draw(random)
        wanted = among is None or among(*parameters)
        if wanted and held_out(kind.name, parameters) == held:
            return parameters


def pick(random: Random) -> str:
    """The name of a kind, by its weight."""
    return random.choices(list(KINDS), _WEIGHTS)[0]


def distinct(seed: int, count: int, *, held: bool) -> list[Problem]:
    """`count` problems, no two of the same kind with the same parameters."""
    random = Random(seed)
    problems: dict[tuple[str, Parameters], Problem] = {}
    while len(problems) < count:
        problem = draw(random, held=held)
        problems.setdefault((problem.kind, problem.parameters), problem)
    return list(problems.values())


def casual(question: str, random: Random) -> str:
    """The question as people type it: a small first letter, no full stop, a greeting."""
    text = question
    first_word = text.split()[0].rstrip("'s")
    keeps_capital = text.startswith(("A ", "I ")) or first_word in PEOPLE["en"]
    if text[0].isupper() and not keeps_capital:
        text = text[0].lower() + text[1:]
    change = random.random()
    if change < 0.5:
        return text.rstrip("?.。？")
    if change < 0.6 and text.isascii() and text[0].islower():
        return random.choice(GREETINGS) + text
    return text
