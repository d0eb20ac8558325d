"""Whether a completion has the right answer, by the service's strict rules and by the published ones, side by side."""

import re
from dataclasses import dataclass

from replicate.answer import extract
from replicate.equivalence import equivalent
from replicate.evaluate.benchmark import Benchmark, Question
from replicate.evaluate.published_equality import pieces
from replicate.fences import prose

_LETTER = re.compile(r"\(?([A-Ga-g])\)?(?=$|[\s.:：、．,，)])")
_CHOICE = re.compile(r"(?:answer is|答案(?:是|为)|选)\s*[:：]?\s*[$*]*\s*\\?(?:boxed\{|text\{)?\(?([A-G])(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Grade:
    """Both graders' findings about one completion."""

    answer: str | None
    correct: bool
    published_answer: str
    published_correct: bool


async def grade(benchmark: Benchmark, question: Question, text: str, after_shots: bool) -> Grade:
    """Judges the completion `text`; `after_shots` says that it continued a k-shot prompt."""
    answer = stated(benchmark, text)
    rules = benchmark.rules
    found = (rules.extract_shots if after_shots else rules.extract)(text)
    return Grade(
        answer,
        await right(benchmark, answer, question.expected),
        "; ".join(found),
        await rules.same(found, list(question.answers)),
    )


def stated(benchmark: Benchmark, text: str) -> str | None:
    """The answer as the service finds it; a choice that is no letter there (a boxed value) is taken from a phrase."""
    answer = extract(text).text
    if benchmark.judging == "choice" and not (answer and _LETTER.match(answer)):
        letters = _CHOICE.findall(prose(text))
        return letters[-1] if letters else answer
    return answer


async def right(benchmark: Benchmark, answer: str | None, expected: str) -> bool:
    """The strict grader: equivalent, blank by blank where there are several, a choice by its letter."""
    if answer is None or not expected:
        return False
    if benchmark.judging == "choice":
        letter = _LETTER.match(answer)
        return letter is not None and letter[1].upper() == expected.upper()
    if benchmark.judging == "ordered":
        given, wanted = pieces(answer), pieces(expected)
        pairs = zip(given, wanted, strict=False)
        return len(given) == len(wanted) and all([await equivalent(*pair) for pair in pairs])
    return await equivalent(answer, expected)
