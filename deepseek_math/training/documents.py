"""Problems as the texts that a model is trained on: documents for the base model, conversations for the others.

The prompt of a conversation is, token for token, what the service sends: DeepSeekMath's template and the suffix of the
mode, in the question's language. The completion begins with the space that follows "Assistant:" in the template.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from deepseek_math.language import Language
from deepseek_math.prompts import COT_SUFFIX, TOOL_SUFFIX
from deepseek_math.training.generator import draw
from deepseek_math.training.problem import Problem

Mode = Literal["chat", "cot", "tool"]

SUFFIX: Mapping[Mode, Mapping[Language, str]] = {"chat": {"en": "", "zh": ""}, "cot": COT_SUFFIX, "tool": TOOL_SUFFIX}
OPENINGS: Mapping[Language, tuple[str, ...]] = {
    "en": ("Step by step:", "In steps:", "We work it out:"),
    "zh": ("一步一步算：", "分步计算：", "先写出步骤："),
}
HEADS: Mapping[Language, tuple[str, ...]] = {
    "en": ("", "Problem: ", "Question: ", "Exercise. "),
    "zh": ("", "题目：", "问题：", "例题。"),
}


@dataclass(frozen=True, slots=True)
class Conversation:
    """A question as the service sends it, without BOS, and the reply without EOS."""

    prompt: str
    completion: str


def document(random: Random) -> str:
    """One piece of mathematical text for the base model: a worked problem, a statement, or a program."""
    problem = draw(random, held=False, worked=random.random() < 0.95)
    form = random.random()
    can_be_stated = problem.question.startswith("What is ") and problem.question.endswith("?")
    if 0.2 <= form < 0.6 and can_be_stated:
        return statement(problem)
    solution = problem.program_solution if form < 0.2 else problem.solution
    head = random.choice(HEADS[problem.language])
    return f"{head}{problem.question}\n{solution}"


def statement(problem: Problem) -> str:
    """The problem as a statement, `The integral of x^2 from 0 to 2 is ...`, which a base model may have to continue."""
    subject = problem.question.removeprefix("What is ").removesuffix("?")
    answer = problem.output.replace("**", "^").replace("*", "").replace(" ", "")
    return f"{subject[0].upper()}{subject[1:]} is found in steps.\n{problem.steps}\nThe answer is {answer}."


def prompt(question: str, mode: Mode, language: Language) -> str:
    return f"User: {question}{SUFFIX[mode][language]}\n\nAssistant:"


def conversation(problem: Problem, mode: Mode, opening: str | None = None) -> Conversation:
    """The problem as a user asks it in `mode` and the reply. `opening` is a line before the steps."""
    text = problem.program_solution if mode == "tool" else problem.solution
    if opening:
        text = f"{opening}\n{text}"
    return Conversation(prompt(problem.question, mode, problem.language), f" {text}")
