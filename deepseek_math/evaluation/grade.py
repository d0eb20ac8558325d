"""Whether a completion has the right answer, by the service's strict rules and by the published ones, side by side."""

import re
from dataclasses import dataclass

from deepseek_math.answers.extraction import extract, tidy
from deepseek_math.evaluation.benchmark import Benchmark, Question
from deepseek_math.evaluation.choice import choice, letters
from deepseek_math.evaluation.published import verdict
from deepseek_math.evaluation.published.findings import boxes
from deepseek_math.evaluation.undecided import equivalent
from deepseek_math.fences import FENCE, OUTPUT, prose

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
    find = rules.find_after_shots if after_shots else rules.find
    found = find(question.text, text)
    return Grade(
        answer,
        await right(benchmark, question, answer),
        "; ".join(found),
        await verdict.same(rules.same, found, question.answers),
    )


def stated(benchmark: Benchmark, question: Question, text: str, after_shots: bool) -> str | None:
    """The answer as the service finds it, else as the benchmark's form of answer allows too, else the output of a
    program that ends the completion."""
    answer = extract(text).text or _last_output(text)
    if benchmark.judging == "choice":
        return _stated_choice(question, text, answer, after_shots)
    if benchmark.judging == "ordered":
        return _stated_blanks(question, text, answer)
    return answer


def _last_output(text: str) -> str | None:
    """As published: a completion whose last round ends with a program has no words after its output."""
    _, mark, rest = text.rpartition(OUTPUT)
    output, fence, after = rest.partition(FENCE)
    return tidy(output) if mark and fence and not after.strip() else None


def _stated_choice(question: Question, text: str, answer: str | None, after_shots: bool) -> str | None:
    """A choice may stand in a box or in a phrase, whatever the other holds: a completion after shots ends with the
    phrase, as they do, any other one with the box it was asked for."""
    candidates = [answer, extract(_BOX.sub("", text)).text]
    if after_shots:
        candidates.reverse()
    for candidate in candidates:
        if choice(question, candidate):
            return candidate
    return answer


def _stated_blanks(question: Question, text: str, answer: str | None) -> str | None:
    """Blanks may be answered in boxes of their own: the last ones then, joined by semicolons."""
    wanted = len(blanks(question.expected))
    if answer is None or len(blanks(answer)) >= wanted:
        return answer
    found = [blank for box in boxes(prose(text)) for blank in blanks(tidy(box))]
    return "; ".join(found[-wanted:]) or answer


async def right(benchmark: Benchmark, question: Question, answer: str | None) -> bool:
    """The strict grader: equivalent, blank by blank where there are several, a choice by its letters."""
    expected = question.expected
    if answer is None or not expected:
        return False
    if benchmark.judging == "choice":
        return choice(question, answer) == letters(expected)
    if benchmark.judging == "ordered":
        found, wanted = blanks(answer), blanks(expected)
        if len(found) != len(wanted):
            return False
        return all([await equivalent(*pair) for pair in zip(found, wanted, strict=True)])
    return await equivalent(answer, expected)


def blanks(answer: str) -> list[str]:
    """The answers to a question's blanks: split at semicolons, and at commas outside brackets, Chinese ones too."""
    found, depth = [""], 0
    for character in answer:
        depth += (character in "([{") - (character in ")]}")
        if character in ";；" or (character in ",，" and depth == 0):
            found.append("")
        else:
            found[-1] += character
    return [blank.strip() for blank in found if blank.strip()]
