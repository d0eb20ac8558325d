"""Asks a service a plan's questions, as many at once as it takes, and grades what comes back."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import httpx

from deepseek_math.answers.judging import judge
from deepseek_math.evaluation.benchmark import EvaluationError, Question
from deepseek_math.evaluation.comparing import failures
from deepseek_math.evaluation.grade import grade, right
from deepseek_math.evaluation.plan import Plan, Served
from deepseek_math.local import client
from deepseek_math.retry import Attempts, RetryPolicy, may_pass

SLOTS = 16  # of a service that does not say how many it has
WAITING = 4  # questions in flight beside those, so that one is there when a slot is free
TAKEN = 64  # predictions that a service takes at once; the next gets a 409
# Refusals that a repetition would not change, and that say nothing of the next question:
THE_QUESTION_S = (
    "context_exceeded",
    "control_token",
    "prompt_empty",
    "template_failed",
    "text_invalid",
    "text_too_long",
)
PASSING = ("engine_failed", "engine_stalled", "sandbox_failed")  # faults that a repetition may be spared
# A service that starts anew has a minute and a half: waits of 1.5, 6, 24 and 60 seconds.
RETRY = RetryPolicy(attempts=5, first_wait=1.5, factor=4.0, longest_wait=60.0)

Line = dict[str, Any]


def in_flight(served: Served) -> int:
    """Questions that keep the service's slots filled."""
    return min(TAKEN, (served.slots or SLOTS) + WAITING)


async def identify(url: str) -> Served:
    """What the service is, by a prediction of one token, and its inputs. Raises EvaluationError."""
    hello = {"prompt": "1+1=", "mode": "raw", "max_new_tokens": 1, "temperature": 0.0}
    try:
        async with client.crowd(1) as session:
            document = (await session.get(f"{url}/openapi.json")).json()
            prediction = await client.predict(session, url, hello, patience=60.0)
        inputs = frozenset(document["components"]["schemas"]["Input"]["properties"])
        metrics = prediction["metrics"]
        digest, slots = metrics.get("checkpoint_digest"), metrics.get("slots")
        settings = metrics.get("engine_settings")
        return Served(metrics["checkpoint"], digest, metrics["engine"], slots, inputs, settings)
    except (httpx.HTTPError, client.PredictionRefused, json.JSONDecodeError, KeyError) as error:
        raise EvaluationError(
            f"{url} does not answer as this service does ({type(error).__name__}: {error}). Is it running, and READY?"
        ) from error


async def answers(plan: Plan, questions: Iterable[Question], url: str, in_flight: int) -> AsyncGenerator[Line, None]:
    """One results line a question, in the order that they are answered. Raises EvaluationError when the service fails.

    Closing the iterator ends the predictions that are at work. Close `judge()` afterwards.
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
                faults = [task for task in done if task.exception()]
                for task in done.difference(faults):
                    yield task.result()
                for task in faults:
                    await task
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def _answer(plan: Plan, question: Question, session: httpx.AsyncClient, url: str) -> Line:
    started = time.perf_counter()
    refused = _unsendable(plan.prompt(question))
    prediction = {} if refused else await _predicted(plan, question, session, url)
    seconds = round(time.perf_counter() - started, 3)
    metrics = prediction.get("metrics") or {}
    text = "".join(prediction.get("output") or "")
    with failures() as undecided:
        found = await grade(plan.benchmark, question, text, bool(plan.shots))
        voted = await _voted(plan, question, metrics) if plan.samples > 1 else {}
    return {
        "id": question.id,
        "prompt": plan.prompt(question),
        "completion": text,
        "answer": found.answer,
        "expected": question.expected,
        "correct": found.correct,
        "published_answer": found.published_answer,
        "published_correct": found.published_correct,
        "tokens": metrics.get("completion_tokens", 0),
        "finish_reason": metrics.get("finish_reason"),
        "error": refused or metrics.get("error_code"),
        "undecided": "; ".join(undecided) or None,
        "seconds": seconds,
        **voted,
    }


def _unsendable(prompt: str) -> str | None:
    """The code of a refusal that the service never gets to say: Cog's server refuses such a request before it."""
    try:
        prompt.encode()
    except UnicodeEncodeError:
        return "text_invalid"
    return None if prompt else "prompt_empty"


async def _predicted(plan: Plan, question: Question, session: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """The prediction that succeeded, or was refused for the question's own sake; what may pass is waited for."""
    attempts = Attempts(RETRY)
    while True:
        retry_after = None
        try:
            prediction = await client.predict(session, url, plan.inputs(question))
            code = (prediction.get("metrics") or {}).get("error_code")
            if prediction.get("status") == "succeeded" or code in THE_QUESTION_S:
                return prediction
            fault = f"the prediction {prediction.get('status')}: {prediction.get('error')}"
            passing = code in PASSING
        except client.PredictionRefused as error:
            fault, passing, retry_after = f"refused by the service: {error}", may_pass(error.status), error.retry_after
        except httpx.HTTPError as error:
            fault, passing = f"the service did not answer ({type(error).__name__}: {error})", True
        wait = attempts.wait_after_failure(retry_after)
        if not passing or wait is None:
            break
        await asyncio.sleep(wait)
    again = f", {attempts.failures} times" if passing else ""
    raise EvaluationError(
        f"{question.id}: {fault}{again}. What was answered so far is kept; repeat the command to go on."
    )


async def _voted(plan: Plan, question: Question, metrics: dict[str, Any]) -> Line:
    """`passed`: some sample's answer was right, among those drawn before the vote was decided."""
    votes = metrics.get("votes", [])
    found = [await right(plan.benchmark, question, vote["answer"]) for vote in votes]
    return {"votes": votes, "samples_used": metrics.get("samples_used", 0), "passed": any(found)}
