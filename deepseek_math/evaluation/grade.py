"""Whether a completion has the right answer, by the service's strict rules and by the published ones, side by side."""

import re
from dataclasses import dataclass

from deepseek_math.answers.extraction import extract, tidy
from deepseek_math.evaluation.benchmark import Benchmark, Question
from deepseek_math.evaluation.published_equality import pieces
from deepseek_math.evaluation.undecided import equivalent

_LETTER = re.compile(r"[({\[]?\s*([A-Ga-g])\s*[)}\]]?\s*[.:：、,，。]?\s*(.*)", re.DOTALL)
_OPTION = re.compile(r"\(([A-G])\)")  # as the published prompts list them
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Grade:
    """Both graders' findings about one completion."""

    answer: str | None
    correct: bool
    published_answer: str
    published_correct: bool


async def grade(benchmark: Benchmark, question: Question, text: str, after_shots: bool) -> Grade:
    """Judges the completion `text`; `after_shots` says that it continued a k-shot prompt."""
    answer = stated(benchmark, question, text, after_shots)
    rules = benchmark.rules
    found = (rules.extract_shots if after_shots else rules.extract)(text)
    return Grade(
        answer,
        await right(benchmark, question, answer),
        "; ".join(found),
        await rules.same(found, list(question.answers)),
    )


def stated(benchmark: Benchmark, question: Question, text: str, after_shots: bool) -> str | None:
    """The answer as the service finds it. A choice may stand in a box or in a phrase, whatever the other holds: a
    completion of shots ends with the phrase, as they do, any other one with the box it was asked for."""
    answer = extract(text).text
    if benchmark.judging != "choice":
        return answer
    places = [answer, extract(_BOX.sub("", text)).text]
    return next((each for each in places[:: -1 if after_shots else 1] if choice(question, each)), answer)


def choice(question: Question, answer: str | None) -> str | None:
    """The letter that an answer is: alone, in brackets, with a full stop, or with its option's own text behind it."""
    found = _LETTER.fullmatch(answer or "")
    if found is None:
        return None
    parts = _OPTION.split(question.text)
    options = dict(zip(parts[1::2], parts[2::2], strict=True))
    letter = found[1].upper()
    return letter if not found[2] or _bare(found[2]) == _bare(options.get(letter, "")) else None


def _bare(text: str) -> str:
    return tidy(text).replace(" ", "")


async def right(benchmark: Benchmark, question: Question, answer: str | None) -> bool:
    """The strict grader: equivalent, blank by blank where there are several, a choice by its letter."""
    expected = question.expected
    if answer is None or not expected:
        return False
    if benchmark.judging == "choice":
        return choice(question, answer) == expected.upper()
    if benchmark.judging == "ordered":
        given, wanted = pieces(answer), pieces(expected)
        pairs = zip(given, wanted, strict=False)
        return len(given) == len(wanted) and all([await equivalent(*pair) for pair in pairs])
    return await equivalent(answer, expected)
