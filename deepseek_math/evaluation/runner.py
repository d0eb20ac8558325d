"""Asks a service a plan's questions, as many at once as it takes, and grades the completions."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import httpx

from deepseek_math.answers.judging import judge
from deepseek_math.evaluation import undecided
from deepseek_math.evaluation.benchmark import EvaluationError, Question
from deepseek_math.evaluation.grade import grade, right
from deepseek_math.evaluation.plan import Plan, Served
from deepseek_math.evaluation.results import Line
from deepseek_math.local import client
from deepseek_math.retry import Attempts, RetryPolicy, may_pass

SLOTS = 16  # of a service that does not say how many it has
WAITING = 4  # questions in flight beside those, so that the next is there when a slot is free
MAX_IN_FLIGHT = 64  # predictions that a service takes at once; it answers the next with 409
# The reason is in the question: a retry would not help, and the next question may succeed.
QUESTION_REFUSED = (
    "context_exceeded",
    "control_token",
    "prompt_empty",
    "template_failed",
    "text_invalid",
    "text_too_long",
)
RETRIED = ("engine_failed", "engine_stalled", "sandbox_failed")  # faults that may not happen again
# A service that starts anew has a minute and a half: waits of 1.5, 6, 24 and 60 seconds.
RETRY = RetryPolicy(attempts=5, first_wait=1.5, factor=4.0, longest_wait=60.0)


class PredictionFailed(Exception):
    """One try failed; `retry` says whether the next may succeed, `retry_after` what the service asks for."""

    def __init__(self, reason: str, retry: bool, retry_after: str | None = None) -> None:
        self.retry = retry
        self.retry_after = retry_after
        super().__init__(reason)


def in_flight(served: Served) -> int:
    """Questions that keep the service's slots filled."""
    return min(MAX_IN_FLIGHT, (served.slots or SLOTS) + WAITING)


async def identify(url: str) -> Served:
    """What the service is, by a prediction of one token, and its inputs. Raises EvaluationError."""
    hello = {"prompt": "1+1=", "mode": "raw", "max_new_tokens": 1, "temperature": 0.0}
    try:
        async with client.crowd(1) as session:
            document = (await session.get(f"{url}/openapi.json")).json()
            prediction = await client.predict(session, url, hello, patience=60.0)
        metrics = prediction["metrics"]
        return Served(
            metrics["checkpoint"],
            metrics.get("checkpoint_digest"),
            metrics["engine"],
            metrics.get("slots"),
            frozenset(document["components"]["schemas"]["Input"]["properties"]),
            metrics.get("engine_settings"),
        )
    except (httpx.HTTPError, client.PredictionRefused, json.JSONDecodeError, KeyError) as error:
        raise EvaluationError(
            f"{url} does not answer as this service does ({type(error).__name__}: {error}). Check that it is running "
            "and READY."
        ) from error


async def answers(plan: Plan, questions: Iterable[Question], url: str, in_flight: int) -> AsyncGenerator[Line, None]:
    """One results line a question, in the order that they are answered. Raises EvaluationError when the service fails.

    Closing the iterator cancels the predictions that are running. Close `judge()` afterwards.
    """
    await judge().start()
    waiting = iter(questions)
    running: set[asyncio.Task[Line]] = set()
    async with client.crowd(in_flight) as session:
        try:
            while True:
                while len(running) < in_flight and (question := next(waiting, None)) is not None:
                    running.add(asyncio.create_task(_answer(plan, question, session, url)))
                if not running:
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                failed = [task for task in done if task.exception()]
                for task in done.difference(failed):
                    yield task.result()
                for task in failed:
                    await task
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


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
    attempts = Attempts(RETRY)
    while True:
        try:
            return await _try(plan, question, session, url)
        except PredictionFailed as failure:
            wait = attempts.wait_after_failure(failure.retry_after)
            if failure.retry and wait is not None:
                await asyncio.sleep(wait)
                continue
            times = f", {attempts.failures} times" if failure.retry else ""
            raise EvaluationError(
                f"{question.id}: {failure}{times}. What was answered so far is kept; repeat the command to go on."
            ) from failure


async def _try(plan: Plan, question: Question, session: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """Raises PredictionFailed."""
    try:
        prediction = await client.predict(session, url, plan.inputs(question))
    except client.PredictionRefused as error:
        reason = f"the service refused it: {error}"
        raise PredictionFailed(reason, may_pass(error.status), error.retry_after) from error
    except httpx.HTTPError as error:
        raise PredictionFailed(f"the service did not answer ({type(error).__name__}: {error})", retry=True) from error
    status = prediction.get("status")
    code = (prediction.get("metrics") or {}).get("error_code")
    if status == "succeeded" or code in QUESTION_REFUSED:
        return prediction
    raise PredictionFailed(f"the prediction {status}: {prediction.get('error')}", retry=code in RETRIED)


async def _votes(plan: Plan, question: Question, metrics: dict[str, Any]) -> Line:
    """`passed`: some sample's answer was right, among those drawn before the vote was decided."""
    votes = metrics.get("votes", [])
    verdicts = [await right(plan.benchmark, question, vote["answer"]) for vote in votes]
    return {"votes": votes, "samples_used": metrics.get("samples_used", 0), "passed": any(verdicts)}
