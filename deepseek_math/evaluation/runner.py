"""Asks a service a plan's questions and grades the completions."""

import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx

from deepseek_math.answers.judging import judge
from deepseek_math.evaluation import undecided
from deepseek_math.evaluation.benchmark import EvaluationError, Question
from deepseek_math.evaluation.grade import grade, right
from deepseek_math.evaluation.plan import Plan
from deepseek_math.jobs.asking import AskingFailed, ask, at_once
from deepseek_math.jobs.journal import Line
from deepseek_math.local import client

# The reason is in the question: a retry would not help, and the next question may succeed.
QUESTION_REFUSED = (
    "context_exceeded",
    "control_token",
    "prompt_empty",
    "template_failed",
    "text_invalid",
    "text_too_long",
)


@dataclass(frozen=True, slots=True)
class Questioner:
    """A plan's questions by their ids, as Ray's workers ask them."""

    plan: Plan

    async def answers(self, items: Sequence[str], url: str, in_flight: int) -> AsyncGenerator[Line, None]:
        questions = {question.id: question for question in self.plan.questions}
        async with aclosing(answers(self.plan, [questions[id] for id in items], url, in_flight)) as lines:
            async for line in lines:
                yield line


async def answers(plan: Plan, questions: Iterable[Question], url: str, in_flight: int) -> AsyncGenerator[Line, None]:
    """One results line a question, in the order that they are answered. Raises JobError when the service fails.

    Closing the iterator cancels the predictions that are running. Close `judge()` afterwards.
    """
    await judge().start()
    async with client.crowd(in_flight) as session:

        async def answer(question: Question, url: str) -> Line:
            return await _answer(plan, question, session, url)

        async with aclosing(at_once(questions, answer, [url], in_flight)) as lines:
            async for line in lines:
                yield line


async def _answer(plan: Plan, question: Question, session: httpx.AsyncClient, url: str) -> Line:
    started = time.perf_counter()
    prompt = plan.prompt(question)
    refused = _unsendable(question.text, prompt)
    prediction = {} if refused else await _prediction(plan, question, session, url)
    seconds = round(time.perf_counter() - started, 3)
    metrics = prediction.get("metrics") or {}
    text = "".join(prediction.get("output") or "")
    with undecided.noted() as reasons:
        found = await grade(plan.benchmark, question, text, bool(plan.shots))
        votes = await _votes(plan, question, metrics) if plan.samples > 1 else {}
    return {
        "id": question.id,
        "prompt": prompt,
        "completion": text,
        "answer": found.answer,
        "expected": question.expected,
        "correct": found.correct,
        "published_answer": found.published_answer,
        "published_correct": found.published_correct,
        "tokens": metrics.get("completion_tokens", 0),
        "finish_reason": metrics.get("finish_reason"),
        "error": refused or metrics.get("error_code"),
        "undecided": "; ".join(reasons) or None,
        "seconds": seconds,
        **votes,
    }


def _unsendable(question: str, prompt: str) -> str | None:
    """The error code of a question that is not sent: a suffix alone would be answered, half a character can't be."""
    try:
        prompt.encode()
    except UnicodeEncodeError:
        return "text_invalid"
    return None if question.strip() else "prompt_empty"


async def _prediction(plan: Plan, question: Question, session: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """A prediction that succeeded, or was refused because of the question itself. Raises EvaluationError."""
    try:
        return await ask(session, url, plan.inputs(question))
    except AskingFailed as failure:
        if failure.prediction and failure.code in QUESTION_REFUSED:
            return failure.prediction
        raise EvaluationError(
            f"{question.id}: {failure}. What was answered so far is kept; repeat the command to go on."
        ) from failure


async def _votes(plan: Plan, question: Question, metrics: dict[str, Any]) -> Line:
    """`passed`: some sample's answer was right, among those drawn before the vote was decided."""
    votes = metrics.get("votes", [])
    verdicts = [await right(plan.benchmark, question, vote["answer"]) for vote in votes]
    return {"votes": votes, "samples_used": metrics.get("samples_used", 0), "passed": any(verdicts)}
