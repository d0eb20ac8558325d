"""Asks a service a plan's questions, as many at once as it takes, and grades what comes back."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import httpx

from replicate import client
from replicate.equivalence import judge
from replicate.evaluate.benchmark import EvaluationError, Question
from replicate.evaluate.grade import grade, right
from replicate.evaluate.plan import Plan

IN_FLIGHT = 32  # questions; twice the service's usual slots, so that one is always waiting for a free slot
THE_QUESTION_S = ("context_exceeded", "control_token", "text_too_long")  # refusals that a repetition would not change

Line = dict[str, Any]


async def identify(url: str) -> tuple[str, str, set[str]]:
    """The service's checkpoint and engine, by a prediction of one token, and its inputs. Raises EvaluationError."""
    hello = {"prompt": "1+1=", "mode": "raw", "max_new_tokens": 1, "temperature": 0.0}
    try:
        async with client.patient(1) as session:
            document = (await session.get(f"{url}/openapi.json")).json()
            prediction = await client.predict(session, url, hello, patience=60.0)
        inputs = set(document["components"]["schemas"]["Input"]["properties"])
        return prediction["metrics"]["checkpoint"], prediction["metrics"]["engine"], inputs
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
    async with client.patient(in_flight) as session:
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
    try:
        prediction = await client.predict(session, url, plan.inputs(question))
    except client.PredictionRefused as error:
        raise EvaluationError(f"{question.id} was refused by the service: {error}") from error
    except httpx.HTTPError as error:
        raise EvaluationError(
            f"{question.id}: the service did not answer ({type(error).__name__}: {error}). What was answered so far is "
            "kept; repeat the command to go on."
        ) from error
    seconds = round(time.perf_counter() - started, 3)
    metrics = prediction.get("metrics") or {}
    code = metrics.get("error_code")
    if prediction["status"] != "succeeded" and code not in THE_QUESTION_S:
        raise EvaluationError(
            f"{question.id}: the prediction {prediction['status']}: {prediction.get('error')} What was answered so far "
            "is kept; repeat the command to go on."
        )
    output = prediction.get("output") or ""
    text = output if isinstance(output, str) else "".join(output)
    found = await grade(plan.benchmark, question, text, bool(plan.shots))
    line = {
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
        "error": code,
        "seconds": seconds,
    }
    return line | (await _voted(plan, question, metrics) if plan.samples > 1 else {})


async def _voted(plan: Plan, question: Question, metrics: dict[str, Any]) -> Line:
    """`passed`: some sample's answer was right, among those drawn before the vote was decided."""
    votes = metrics.get("votes", [])
    found = [await right(plan.benchmark, vote["answer"], question.expected) for vote in votes]
    return {"votes": votes, "samples_used": metrics.get("samples_used", 0), "passed": any(found)}
