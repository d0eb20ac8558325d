"""Draws problems of the family's field: from either side of the held-out split, each one checked before it leaves.

The kinds are data (`number_kinds.py`, `algebra_kinds.py`, `word_table.py`); this file adds chance and nothing else.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from deepseek_math.prompts import Language, language
from deepseek_math.training import algebra_kinds, number_kinds, word_table
from deepseek_math.training.problem import Kind, Problem, check, held_out
from deepseek_math.training.word_kinds import PEOPLE

KINDS: dict[str, Kind] = {kind.name: kind for kind in (*number_kinds.KINDS, *algebra_kinds.KINDS, *word_table.KINDS)}
CHINESE = 0.35  # share of the problems
CASUAL = 0.3  # share of the questions that are typed carelessly
_WEIGHTS = [kind.weight for kind in KINDS.values()]


def draw(
    random: Random,
    *,
    held: bool,
    worked: bool = True,
    kind: str | None = None,
    among: Callable[..., bool] | None = None,
) -> Problem:
    """One checked problem whose parameters are held out, or are not. `worked`: its arithmetic digit by digit.

    among: what its parameters have to fulfil besides.
    """
    row = KINDS[kind or pick(random)]
    while True:
        parameters = row.draw(random)
        if (among is None or among(*parameters)) and held_out(row.name, parameters) == held:
            break
    wanted: Language = "zh" if random.random() < CHINESE else "en"
    problem = row.write(parameters, wanted, worked, random)
    if random.random() < CASUAL:
        problem = replace(problem, question=casual(problem.question, random))
    if language(problem.question) != wanted:  # a bare expression is read as English by the service
        problem = replace(row.write(parameters, "en", worked, random), question=problem.question)
    check(problem)
    return problem


def pick(random: Random) -> str:
    """The name of a kind, by its weight."""
    return random.choices(list(KINDS), _WEIGHTS)[0]


def distinct(seed: int, count: int, *, held: bool) -> list[Problem]:
    """`count` problems no two of which share a kind and its parameters."""
    random, problems = Random(seed), list[Problem]()
    seen = set[tuple[str, tuple[int, ...]]]()
    while len(problems) < count:
        problem = draw(random, held=held)
        if (problem.kind, problem.parameters) not in seen:
            seen.add((problem.kind, problem.parameters))
            problems.append(problem)
    return problems


def casual(question: str, random: Random) -> str:
    """As people type: a small first letter, no full stop, a word of greeting."""
    text = question
    if text[0].isupper() and not text.startswith(("A ", "I ")) and text.split()[0].rstrip("'s") not in PEOPLE["en"]:
        text = text[0].lower() + text[1:]
    change = random.random()
    if change < 0.5:
        return text.rstrip("?.。？")
    if change < 0.6 and text.isascii() and text[0].islower():
        return random.choice(("Please ", "please ", "Hi, ", "hey, ", "Can you tell me: ")) + text
    return text
